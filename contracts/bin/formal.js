#!/usr/bin/env node
// Proves properties of the vault, the inbox, the rollup and the escape by symbolic execution (halmos): test/formal has them, README.md what they say and what they do not.
//
// With --broken, the contracts are broken one at a time, and the proof of the property that this breaks has to fail. With other arguments, only the proofs whose names have one of them are made.
// The hash of the chains is Keccak's in what is proven, as a function without collisions, since a solver cannot see through Poseidon2; and the last proof's verifier is left out.
"use strict";

const { spawnSync } = require("child_process");
const fs = require("fs");
const os = require("os");
const path = require("path");

const ROOT = path.join(__dirname, "..");
const VERSION = "0.3.3";
const HALMOS = process.env.HALMOS || "halmos";
/// Seconds for one question to the solver.
const SOLVER_SECONDS = 300;

const POSEIDON2 = `// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

function compress(bytes32 left, bytes32 right) pure returns (bytes32) {
    return keccak256(abi.encode(left, right));
}
`;

const SETTINGS = `[profile.default]
src = "test/formal"
out = "out"
offline = true
solc = "./solc"
evm_version = "osaka"
optimizer = true
via_ir = false
`;

// What is broken, and what has to notice.
const BROKEN = [
  ["Vault.sol", "require(total <= held, NotCovered(held, total));", "", "check_neverMoreClaimableThanHeld"],
  ["Vault.sol", "require(sum <= cap, CapReached(cap, sum));", "", "check_neverMoreClaimableThanHeld"],
  ["Vault.sol", "claimableTotal -= amount;", "", "check_theTotalIsTheSum"],
  ["Vault.sol", "require(msg.sender == rollup || msg.sender == escape || msg.sender == inbox, NotAllowed(msg.sender));", "", "check_whoMayWhat"],
  ["Vault.sol", "claimable[owner] = 0;", "", "check_aClaimComesOnce"],
  ["Escape.sol", "if (paid > left) paid = left;", "left;", "check_exitsTakeNoMoreThanTheDeposits"],
  ["Escape.sol", "require(!exited[account], AlreadyExited(account));", "", "check_noAccountExitsTwice"],
  ["Escape.sol", "require(!debtShown[account], AlreadyShown(account));", "", "check_debtsAreShownOnce"],
  ["Inbox.sol", "_heads[index + 1] = head;", "_heads[index] = head;", "check_whatIsThereStays"],
  ["Inbox.sol", "require(index < ENTRIES_MAX, InboxFull());", "", "check_whatIsThereStays"],
  ["Inbox.sol", "i == 0 ? index : 0", "0", "check_theHeadAbsorbsTheEntry"],
  ["Rollup.sol", "require(consumed >= inboxConsumed && consumed <= count, InboxRange(consumed));", "", "check_theInboxIsConsumedInOrder"],
  ["Rollup.sol", "require(bridge.inboxHead == head, InboxHeadWrong(head, bridge.inboxHead));", "", "check_theInboxIsConsumedInOrder"],
  ["Rollup.sol", "require(due.to > due.from, NothingToPay(run));", "", "check_aPayoutIsPaidOnce"],
  ["Rollup.sol", "end > to ? end - to : 0", "0", "check_aPayoutIsPaidOnce"],
];

function replaceOnce(name, text, from, to) {
  if (text.split(from).length !== 2) throw new Error(`${name} does not have once: ${from}`);
  return text.replace(from, () => to);
}

function fail(text) {
  console.error(text);
  process.exit(1);
}

/// A project of the sources and the proofs, with what stands in for the hash and the verifier.
function project(broken) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-formal-"));
  for (const folder of ["src", "test/formal"]) fs.mkdirSync(path.join(directory, folder), { recursive: true });
  for (const name of fs.readdirSync(path.join(ROOT, "src"))) {
    let text = fs.readFileSync(path.join(ROOT, "src", name), "utf8");
    if (name === "Poseidon2.sol") text = POSEIDON2;
    if (name === "FinalVerifier.sol") {
      const struct = /struct Statement \{[^}]*\}/.exec(text);
      if (!struct) throw new Error("src/FinalVerifier.sol has no Statement");
      text = `// SPDX-License-Identifier: MIT OR Apache-2.0\npragma solidity 0.8.37;\n\n${struct[0]}\n`;
    }
    // (The prover does not come to the end of the constructor with this: what a genesis has is checked by tests.)
    if (name === "Rollup.sol") text = replaceOnce(name, text, "        _checkBridge(genesis.bridge, parts.inbox.headAt(0));\n", "");
    if (broken && broken[0] === name) text = replaceOnce(name, text, broken[1], broken[2]);
    fs.writeFileSync(path.join(directory, "src", name), text);
  }
  for (const name of fs.readdirSync(path.join(ROOT, "test/formal"))) {
    fs.copyFileSync(path.join(ROOT, "test/formal", name), path.join(directory, "test/formal", name));
  }
  fs.writeFileSync(path.join(directory, "foundry.toml"), SETTINGS);
  fs.symlinkSync(path.join(ROOT, "bin/solc"), path.join(directory, "solc"));
  return directory;
}

/// Makes the proofs of these names; what halmos says of each, and whether all hold.
function prove(directory, names) {
  const platforms = path.join(ROOT, "node_modules/@foundry-rs");
  const platform = fs.readdirSync(platforms).find((name) => name.startsWith("forge-"));
  if (!platform) fail(`${platforms} has no forge of this platform: npm ci`);
  const forge = path.join(platforms, platform, "bin");
  const run = spawnSync(
    HALMOS,
    ["--root", directory, "--match-test", `^(${names.join("|")})`, "--loop", "4", "--solver-timeout-assertion", `${SOLVER_SECONDS}s`, "--no-status"],
    { cwd: directory, env: { ...process.env, PATH: `${forge}:${process.env.PATH}` }, encoding: "utf8", maxBuffer: 1 << 28 },
  );
  if (run.error) fail(`${HALMOS} does not run (${run.error.message}): pip install halmos==${VERSION}, and put it on the path or in HALMOS`);
  return run.stdout + run.stderr;
}

function results(output) {
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  return new Map([...plain.matchAll(/^\[(PASS|FAIL|ERROR|TIMEOUT)\] (check_\w+)/gm)].map(([, verdict, name]) => [name, verdict]));
}

function main() {
  const broken = process.argv.includes("--broken");
  const wanted = process.argv.slice(2).filter((argument) => argument !== "--broken");
  const all = fs
    .readdirSync(path.join(ROOT, "test/formal"))
    .flatMap((name) => [...fs.readFileSync(path.join(ROOT, "test/formal", name), "utf8").matchAll(/function (check_\w+)/g)].map((match) => match[1]));
  const names = all.filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  if (names.length === 0) fail(`no proof has a name with ${wanted.join(" or ")}: there are ${all.join(", ")}`);
  let bad = 0;
  if (!broken) {
    const directory = project();
    const output = prove(directory, names);
    const found = results(output);
    console.log(output);
    for (const name of names) {
      if (found.get(name) !== "PASS") bad++;
      console.log(`${name}: ${found.get(name) || "did not run"}`);
    }
    fs.rmSync(directory, { recursive: true });
  } else {
    for (const change of BROKEN.filter((change) => names.includes(change[3]))) {
      const directory = project(change);
      const output = prove(directory, [change[3]]);
      const verdict = results(output).get(change[3]);
      if (verdict !== "FAIL") bad++;
      console.log(`${change[0]} without \`${change[1].split("\n")[0]}\`: ${change[3]} ${verdict === "FAIL" ? "fails, as it should" : `does not fail (${verdict || output})`}`);
      fs.rmSync(directory, { recursive: true });
    }
  }
  process.exitCode = bad > 0 ? 1 : 0;
}

main();
