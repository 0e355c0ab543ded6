#!/usr/bin/env node
// Deploys the verifier to an Ethereum node that is started for it (anvil, by its RPC as any client would), and has it verify a proof in a transaction of no more gas than one may have
// (EIP-7825), and refuse changed ones.
//
//   node bin/anvil.js [DIR [PROOF]]
//
// DIR is what `holdfast export-verifier --out DIR` wrote, PROOF a last proof; without them, the key data and the sample proof of the tests.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const ROOT = path.join(__dirname, "..");
const ANVIL = path.join(ROOT, "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
const PIECE_BYTES = 24575;
const TRANSACTION_GAS_MAX = 1 << 24;

const word = (number) => BigInt(number).toString(16).padStart(64, "0");
const hex = (bytes) => Buffer.from(bytes).toString("hex");

function start() {
  const node = spawn(ANVIL, ["--port", "0", "--hardfork", "osaka", "--enable-tx-gas-limit", "--gas-limit", "60000000"]);
  const url = new Promise((resolve, reject) => {
    let output = "";
    node.stdout.on("data", (chunk) => {
      output += chunk;
      const found = /Listening on (\S+)/.exec(output);
      if (found) resolve(`http://${found[1]}`);
    });
    node.on("error", (error) => reject(new Error(`anvil does not start (npm ci installs it on Linux): ${error.message}`)));
    node.on("exit", (code) => reject(new Error(`anvil ended with ${code} before it listened: ${output}`)));
  });
  return { node, url };
}

function client(url) {
  let id = 0;
  return async (method, ...params) => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params });
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { result, error } = await response.json();
    if (error) throw Object.assign(new Error(`${method}: ${error.message}`), { data: error.data });
    return result;
  };
}

/** Creation code of the data contracts, and the commitment to the data. */
function key(directory) {
  if (directory) {
    const manifest = JSON.parse(fs.readFileSync(path.join(directory, "verifier.json"), "utf8"));
    const codes = manifest.pieces.map(({ file }) => fs.readFileSync(path.join(directory, file), "utf8").trim());
    return { codes, commitment: manifest.key_commitment };
  }
  const data = fs.readFileSync(path.join(ROOT, "test/vectors/key.bin"));
  const codes = [];
  for (let first = 0; first < data.length; first += PIECE_BYTES) {
    const piece = data.subarray(first, first + PIECE_BYTES);
    codes.push("0x63" + (piece.length + 1).toString(16).padStart(8, "0") + "80600c3d393df300" + hex(piece));
  }
  return { codes, data };
}

async function run(rpc, directory, file) {
  const proof = fs.readFileSync(file || path.join(ROOT, "../crates/circuit/tests/vectors/last.proof"));
  const { bytecode } = JSON.parse(fs.readFileSync(path.join(ROOT, "artifacts/FinalVerifier.json"), "utf8"));
  const { codes, data, commitment: told } = key(directory);
  const commitment = told || (await rpc("web3_sha3", "0x" + hex(data)));
  const [from] = await rpc("eth_accounts");
  const send = async (to, data) => {
    const hash = await rpc("eth_sendTransaction", { from, to, data, gas: "0x" + TRANSACTION_GAS_MAX.toString(16) });
    for (;;) {
      const receipt = await rpc("eth_getTransactionReceipt", hash);
      if (receipt) return receipt;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const selector = async (signature) => (await rpc("web3_sha3", "0x" + hex(Buffer.from(signature)))).slice(0, 10);
  const create = async (what, code) => {
    const receipt = await send(undefined, code);
    if (receipt.status !== "0x1") throw new Error(`${what} is not deployed`);
    console.log(`${what.padEnd(24)} ${Number(receipt.gasUsed).toLocaleString("en")} gas`);
    return receipt.contractAddress;
  };
  const pieces = [];
  for (const [number, code] of codes.entries()) pieces.push(await create(`data contract ${number}`, code));
  const addresses = pieces.map((piece) => piece.slice(2).padStart(64, "0")).join("");
  const verifier = await create("verifier", bytecode + word(64) + commitment.slice(2) + word(pieces.length) + addresses);
  const got = await rpc("eth_call", { to: verifier, data: await selector("keyCommitment()") }, "latest");
  if (got !== commitment) throw new Error(`key commitment: expected ${commitment}, got ${got}`);

  const verify = await selector("verify(bytes)");
  const call = (bytes) => verify + word(32) + word(bytes.length) + hex(bytes).padEnd(Math.ceil(bytes.length / 32) * 64, "0");
  const receipt = await send(verifier, call(proof));
  if (receipt.status !== "0x1") throw new Error("the proof is refused");
  console.log(`${"verification".padEnd(24)} ${Number(receipt.gasUsed).toLocaleString("en")} gas, of at most ${TRANSACTION_GAS_MAX.toLocaleString("en")}`);
  const words = (await rpc("eth_call", { to: verifier, data: call(proof) }, "latest")).slice(2).match(/.{64}/g);
  const names = ["root before", "root after", "first batch", "last batch", "time before", "time after", "data", "segments' key"];
  names.forEach((name, i) => console.log(`${name.padEnd(24)} ${i > 1 && i < 6 ? BigInt("0x" + words[i]) : "0x" + words[i]}`));

  // A change in every section: whatever is changed, it is refused with a custom error.
  for (let i = 0; i < 16; i++) {
    const changed = Buffer.from(proof);
    changed[Math.floor(((i + 0.5) / 16) * proof.length)] ^= 1;
    const refused = await rpc("eth_call", { from, to: verifier, data: call(changed) }, "latest").then(
      () => false,
      (error) => typeof error.data === "string" && error.data.length >= 10 && !error.data.startsWith("0x4e487b71"),
    );
    if (!refused) throw new Error(`a proof with byte ${i} of 16 changed is not refused with a custom error`);
  }
  console.log("16 changed proofs are refused");
}

async function main() {
  const { node, url } = start();
  try {
    await run(client(await url), process.argv[2], process.argv[3]);
  } finally {
    node.kill();
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
