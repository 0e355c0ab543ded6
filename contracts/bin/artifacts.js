#!/usr/bin/env node
// Compiles the contracts and writes artifacts/ (ABI and bytecode), or with --check compares what is there, byte for byte.
// Likewise test/artifacts/: contracts that show tests in Rust what is internal.
"use strict";

const fs = require("fs");
const path = require("path");
const solc = require("../node_modules/solc");

const ROOT = path.join(__dirname, "..");
const CONTRACTS = [
  { name: "FinalVerifier", source: "src/FinalVerifier.sol", artifacts: "artifacts", deployed: true },
  { name: "StateReader", source: "src/StateReader.sol", artifacts: "artifacts", deployed: true },
  ...["Vault", "Inbox", "Rollup", "Escape", "Council"].map((name) => ({ name, source: `src/${name}.sol`, artifacts: "artifacts", deployed: true })),
  { name: "DevToken", source: "test/harness/DevToken.sol", artifacts: "test/artifacts", deployed: false },
  { name: "StandIn", source: "test/harness/StandIn.sol", artifacts: "test/artifacts", deployed: false },
  { name: "ConstraintsHarness", source: "test/harness/ConstraintsHarness.sol", artifacts: "test/artifacts", deployed: false },
];
// The code size limits of Ethereum: of a contract (EIP-170) and of the code that creates one (EIP-3860).
const CODE_BYTES_MAX = 24576;
const INIT_CODE_BYTES_MAX = 49152;

function compile() {
  const sources = {};
  for (const directory of ["src", "test/harness"]) {
    for (const name of fs.readdirSync(path.join(ROOT, directory)).sort()) {
      if (!name.endsWith(".sol")) continue;
      sources[`${directory}/${name}`] = { content: fs.readFileSync(path.join(ROOT, directory, name), "utf8") };
    }
  }
  const settings = JSON.parse(fs.readFileSync(path.join(ROOT, "solc.json"), "utf8"));
  const selection = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"];
  settings.outputSelection = Object.fromEntries(CONTRACTS.map(({ name, source }) => [source, { [name]: selection }]));
  const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
  const errors = (output.errors || []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return output.contracts;
}

function main() {
  const check = process.argv.includes("--check");
  const contracts = compile();
  let stale = false;
  for (const { name, source, artifacts, deployed } of CONTRACTS) {
    const { abi, evm } = contracts[source][name];
    const bytes = evm.deployedBytecode.object.length / 2;
    if (deployed && bytes > CODE_BYTES_MAX) throw new Error(`${name} has ${bytes} bytes of code, more than ${CODE_BYTES_MAX}`);
    if (deployed && evm.bytecode.object.length / 2 > INIT_CODE_BYTES_MAX) throw new Error(`${name} has too much creation code`);
    const text = JSON.stringify({ contract: name, compiler: solc.version(), abi, bytecode: "0x" + evm.bytecode.object }, null, 1) + "\n";
    const file = path.join(ROOT, artifacts, `${name}.json`);
    const old = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
    if (check && old !== text) {
      console.error(`${path.relative(ROOT, file)} is not what the sources compile to: run npm run build`);
      stale = true;
    }
    if (!check) fs.writeFileSync(file, text);
    console.log(`${name}: ${bytes} bytes of code`);
  }
  process.exitCode = stale ? 1 : 0;
}

main();
