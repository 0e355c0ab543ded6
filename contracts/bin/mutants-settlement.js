#!/usr/bin/env node
// Takes the checks out of the settlement's contracts one at a time, and runs their tests with what is left: a test has to fail. Prints the mutants that survive.
//
// Each `require` of FILES is a mutant. With arguments, only the mutants whose names have one of them are made. Tests run with the legacy code generator, with Keccak for the hash of states and few runs of each property, which is much
// quicker; those of the vectors and of the gas, which are of the hash, are left out. It takes hours, and CI does not run it.
"use strict";

const { spawnSync } = require("child_process");
const fs = require("fs");
const os = require("os");
const path = require("path");

const ROOT = path.join(__dirname, "..");
const FORGE = path.join(ROOT, "bin/forge");
const FILES = ["Vault.sol", "Inbox.sol", "Rollup.sol", "Escape.sol", "Council.sol", "Published.sol", "Cells.sol"];

const POSEIDON2 = `// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev Cells below 2^30.
function compress(bytes32 left, bytes32 right) pure returns (bytes32) {
    return keccak256(abi.encode(left, right)) & 0x3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff;
}
`;

const SETTINGS = `[profile.default]
src = "src"
test = "test"
out = "out"
cache_path = "cache"
offline = true
solc = "./bin/solc"
evm_version = "osaka"
optimizer = true
optimizer_runs = 200
via_ir = false
bytecode_hash = "none"
cbor_metadata = false
gas_limit = 1000000000
fs_permissions = [{ access = "read", path = "test/vectors" }]

[profile.default.fuzz]
runs = 20
seed = "0x686f6c6466617374"

[profile.default.invariant]
runs = 4
depth = 100
fail_on_revert = true
`;

// What no test can find, and why.
const EQUIVALENT = {
};

/// The `require` at this place, to the end of its statement.
function statement(text, start) {
  let depth = 0;
  for (let at = text.indexOf("(", start); at < text.length; at++) {
    if (text[at] === "(") depth++;
    if (text[at] === ")" && --depth === 0) return text.slice(start, at + 2);
  }
  throw new Error(`a require does not end: ${text.slice(start, start + 60)}`);
}

function mutants() {
  return FILES.flatMap((file) => {
    const text = fs.readFileSync(path.join(ROOT, "src", file), "utf8");
    return [...text.matchAll(/\brequire\(/g)].map((match) => {
      const check = statement(text, match.index);
      const line = text.slice(0, match.index).split("\n").length;
      return { name: `${file}:${line}: ${check.replace(/\s+/g, " ")}`, file, text: text.slice(0, match.index) + text.slice(match.index + check.length) };
    });
  });
}

/// A project of the settlement's sources and tests, without the verifier's.
function project() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-mutants-"));
  fs.cpSync(path.join(ROOT, "src"), path.join(directory, "src"), { recursive: true });
  for (const folder of ["settlement", "vectors"]) {
    fs.cpSync(path.join(ROOT, "test", folder), path.join(directory, "test", folder), { recursive: true, filter: (from) => !from.includes("vectors/compact") });
  }
  const verifier = fs.readFileSync(path.join(ROOT, "src/FinalVerifier.sol"), "utf8");
  const struct = /struct Statement \{[^}]*\}/.exec(verifier);
  if (!struct) throw new Error("src/FinalVerifier.sol has no Statement");
  fs.writeFileSync(path.join(directory, "src/FinalVerifier.sol"), `// SPDX-License-Identifier: MIT OR Apache-2.0\npragma solidity 0.8.37;\n\n${struct[0]}\n`);
  const needed = [...FILES, "FinalVerifier.sol", "Field.sol", "Poseidon2.sol", "Septic.sol", "Settlement.sol", "StateReader.sol", "StateTree.sol"];
  for (const name of fs.readdirSync(path.join(directory, "src"))) {
    if (!needed.includes(name)) fs.rmSync(path.join(directory, "src", name));
  }
  fs.writeFileSync(path.join(directory, "src/Poseidon2.sol"), POSEIDON2);
  for (const name of ["Gas.t.sol", "Vectors.t.sol"]) fs.rmSync(path.join(directory, "test/settlement", name));
  fs.writeFileSync(path.join(directory, "foundry.toml"), SETTINGS);
  fs.mkdirSync(path.join(directory, "bin"));
  fs.symlinkSync(path.join(ROOT, "bin/solc"), path.join(directory, "bin/solc"));
  return directory;
}

/// The first test that fails; nothing if all pass.
function failure(directory) {
  const run = spawnSync(FORGE, ["test", "--fail-fast", "--root", directory], { cwd: directory, encoding: "utf8", maxBuffer: 1 << 28 });
  if (run.status === 0) return undefined;
  const output = (run.stdout + run.stderr).replace(/\x1b\[[0-9;]*m/g, "");
  const failed = /\[FAIL[^\n]*?\] (\w+)\(/.exec(output);
  if (!failed) throw new Error(`the tests did not run:\n${output.slice(-2000)}`);
  return failed[1];
}

function main() {
  const wanted = process.argv.slice(2);
  const chosen = mutants().filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  const directory = project();
  const unchanged = failure(directory);
  if (unchanged) throw new Error(`the contracts as they are fail ${unchanged}`);
  const survivors = [];
  for (const { name, file, text } of chosen) {
    const place = path.join(directory, "src", file);
    const whole = fs.readFileSync(place, "utf8");
    fs.writeFileSync(place, text);
    const failed = failure(directory);
    fs.writeFileSync(place, whole);
    const reason = Object.entries(EQUIVALENT).find(([part]) => name.includes(part))?.[1];
    if (!failed && !reason) survivors.push(name);
    console.log(`${name}: ${failed || (reason ? `survives, ${reason}` : "SURVIVES")}`);
  }
  fs.rmSync(directory, { recursive: true });
  console.log(`${chosen.length} mutants, ${survivors.length} survive that should not${survivors.length > 0 ? ":" : ""}`);
  survivors.forEach((name) => console.log(`  ${name}`));
  process.exitCode = survivors.length > 0 ? 1 : 0;
}

main();
