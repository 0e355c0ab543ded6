#!/usr/bin/env node
// Takes the checks out of the verifier one at a time, and runs the tests with what is left: a test has to fail. Prints the mutants that survive.
//
// Two kinds of mutants: those in which a `revert` (or an assertion) never happens, one for each in src/; and those of `PAIRS`, in which both sides of an equation lose the same term, which no
// valid proof shows. Each has to verify valid proofs still, or it says nothing. It takes a quarter of an hour, and CI does not run it. With arguments, only the mutants whose names have one of them are made.
"use strict";

const { spawnSync } = require("child_process");
const fs = require("fs");
const os = require("os");
const path = require("path");
const solc = require("../node_modules/solc");

const ROOT = path.join(__dirname, "..");
const TESTS = ["last_lies", "last_solidity"];
// What a mutant has to pass, or it says nothing: that valid proofs are valid.
const SANITY = ["last_lies", "honest"];
// What is never so, though the compiler does not know it: were a check simply gone, so much else might be compiled in another way that variables have no room, and nothing is verified.
const NEVER = "msg.data.length == 1";

// What no test can find, and why.
const EQUIVALENT = {
  "assert(here <= COMPILER_END)": "it holds for the code that the compiler makes, whatever the proof is",
};

// Terms that are on both sides: what is replaced, in files of src/. (Terms of earlier rounds are in the sum-checks behind them too, so that valid proofs show them.)
const PAIRS = [
  {
    name: "queries of the last round do not count",
    edits: [
      ["Whir.sol", "claim = claim + power * _fold(k, whir.inverse);", "if (whir.round + 1 < key.whirRounds) claim = claim + power * _fold(k, whir.inverse);"],
      ["Whir.sol", "sum = sum + power * _atPoint(", "if (round + 1 < key.whirRounds) sum = sum + power * _atPoint("],
    ],
  },
];

/// The sources, and of each file the text.
function sources() {
  const directory = path.join(ROOT, "src");
  return Object.fromEntries(fs.readdirSync(directory).sort().map((name) => [name, fs.readFileSync(path.join(directory, name), "utf8")]));
}

function replaceOnce(text, from, to) {
  const at = text.indexOf(from);
  if (at < 0 || text.indexOf(from, at + 1) >= 0) throw new Error(`it is not there once: ${from}`);
  return text.slice(0, at) + to + text.slice(at + from.length);
}

function mutants(files) {
  const all = [];
  for (const [file, text] of Object.entries(files)) {
    for (const match of text.matchAll(/\b(revert \w+\([^;]*\)|assert\([^;]*\));/g)) {
      const line = text.slice(0, match.index).split("\n").length;
      const changed = text.slice(0, match.index) + `if (${NEVER}) ${match[0]}` + text.slice(match.index + match[0].length);
      all.push({ name: `${file}:${line}: ${match[1]}`, files: { ...files, [file]: changed } });
    }
  }
  for (const { name, edits } of PAIRS) {
    const changed = { ...files };
    for (const [file, from, to] of edits) changed[file] = replaceOnce(changed[file], from, to);
    all.push({ name, files: changed });
  }
  return all;
}

function compile(files) {
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(files).map(([name, content]) => [`src/${name}`, { content }])),
    settings: {
      ...JSON.parse(fs.readFileSync(path.join(ROOT, "solc.json"), "utf8")),
      outputSelection: { "src/FinalVerifier.sol": { FinalVerifier: ["evm.bytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors || []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return "0x" + output.contracts["src/FinalVerifier.sol"].FinalVerifier.evm.bytecode.object;
}

/// The first test that fails with this verifier; nothing if all pass.
function failure(artifact, sane = false) {
  const names = sane ? TESTS.flatMap((test) => ["--test", test]) : ["--test", ...SANITY];
  const run = spawnSync("cargo", ["test", "--quiet", "--locked", "-p", "holdfast-circuit", ...names], {
    cwd: path.join(ROOT, ".."),
    env: { ...process.env, HOLDFAST_VERIFIER: artifact, RUST_BACKTRACE: "0" },
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (run.status === 0) return sane ? undefined : failure(artifact, true);
  const panic = /thread '([^']+)' .*panicked at/.exec(run.stdout + run.stderr);
  if (!panic) throw new Error(`the tests did not run:\n${run.stderr}`);
  if (!sane) throw new Error(`valid proofs are refused: ${panic[1]}`);
  return panic[1];
}

function main() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-mutants-"));
  const artifact = path.join(directory, "FinalVerifier.json");
  const test = (files) => {
    fs.writeFileSync(artifact, JSON.stringify({ bytecode: compile(files) }));
    return failure(artifact);
  };
  const files = sources();
  const wanted = process.argv.slice(2);
  const chosen = mutants(files).filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  const unchanged = test(files);
  if (unchanged) throw new Error(`the verifier as it is fails ${unchanged}`);
  const survivors = [];
  for (const { name, files } of chosen) {
    let failed;
    try {
      failed = test(files);
    } catch (error) {
      console.log(`${name}: says nothing, ${error.message}`);
      survivors.push(name);
      continue;
    }
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
