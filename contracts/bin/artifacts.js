#!/usr/bin/env node
// Compiles the contracts and writes artifacts/ (ABI and bytecode), or with --check compares what is there, byte for byte.
// Likewise test/artifacts/: contracts that show tests in Rust what is internal, and a generated one, which is compiled as all of its kind have to be.
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
  { name: "CompactVerifier", source: "src/CompactVerifier.sol", artifacts: "artifacts", deployed: true },
  { name: "ConstraintsHarness", source: "test/harness/ConstraintsHarness.sol", artifacts: "test/artifacts", deployed: false },
];
const GENERATED = [
  { name: "Halo2Verifier", source: "test/vectors/compact/Halo2Verifier.sol", artifacts: "test/artifacts", deployed: true },
];
// The code size limits of Ethereum: of a contract (EIP-170) and of the code that creates one (EIP-3860).
const CODE_BYTES_MAX = 24576;
const INIT_CODE_BYTES_MAX = 49152;

function read(file) {
  return fs.readFileSync(path.join(ROOT, file), "utf8");
}

function sources() {
  const names = ["src", "test/harness"].flatMap((directory) =>
    fs.readdirSync(path.join(ROOT, directory)).sort().map((name) => `${directory}/${name}`),
  );
  return names.filter((name) => name.endsWith(".sol"));
}

function compile(files, contracts, settingsFile) {
  const settings = JSON.parse(read(settingsFile));
  const selection = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"];
  settings.outputSelection = Object.fromEntries(contracts.map(({ name, source }) => [source, { [name]: selection }]));
  const input = { language: "Solidity", sources: Object.fromEntries(files.map((file) => [file, { content: read(file) }])), settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors || []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return contracts.map((contract) => ({ ...contract, ...output.contracts[contract.source][contract.name] }));
}

function main() {
  const check = process.argv.includes("--check");
  const contracts = compile(sources(), CONTRACTS, "solc.json");
  contracts.push(...compile(GENERATED.map(({ source }) => source), GENERATED, "solc-generated.json"));
  let stale = false;
  for (const { name, artifacts, deployed, abi, evm } of contracts) {
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
