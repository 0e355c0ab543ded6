#!/usr/bin/env node
// Compiles the contracts and writes artifacts/ (ABI and bytecode), or with --check compares what is there, byte for byte.
"use strict";

const fs = require("fs");
const path = require("path");
const solc = require("../node_modules/solc");

const ROOT = path.join(__dirname, "..");
const CONTRACTS = ["FinalVerifier", "StateReader"];
// The code size limits of Ethereum: of a contract (EIP-170) and of the code that creates one (EIP-3860).
const CODE_BYTES_MAX = 24576;
const INIT_CODE_BYTES_MAX = 49152;

function compile() {
  const source = path.join(ROOT, "src");
  const sources = {};
  for (const name of fs.readdirSync(source).sort()) {
    if (name.endsWith(".sol")) sources[`src/${name}`] = { content: fs.readFileSync(path.join(source, name), "utf8") };
  }
  const settings = JSON.parse(fs.readFileSync(path.join(ROOT, "solc.json"), "utf8"));
  settings.outputSelection = { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } };
  const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
  const errors = (output.errors || []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return output.contracts;
}

function main() {
  const check = process.argv.includes("--check");
  const contracts = compile();
  let stale = false;
  for (const name of CONTRACTS) {
    const { abi, evm } = contracts[`src/${name}.sol`][name];
    const bytes = evm.deployedBytecode.object.length / 2;
    if (bytes > CODE_BYTES_MAX) throw new Error(`${name} has ${bytes} bytes of code, more than ${CODE_BYTES_MAX}`);
    if (evm.bytecode.object.length / 2 > INIT_CODE_BYTES_MAX) throw new Error(`${name} has too much creation code`);
    const text = JSON.stringify({ contract: name, compiler: solc.version(), abi, bytecode: "0x" + evm.bytecode.object }, null, 1) + "\n";
    const file = path.join(ROOT, "artifacts", `${name}.json`);
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
