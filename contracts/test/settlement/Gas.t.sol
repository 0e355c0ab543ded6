// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Inbox} from "../../src/Inbox.sol";
import {Rollup} from "../../src/Rollup.sol";
import {IRollup} from "../../src/Settlement.sol";
import {Vault} from "../../src/Vault.sol";
import {Kit, VM} from "./Kit.sol";

/// @dev What calls cost, with storage as a transaction finds it: `bin/forge test --match-contract GasTest -vv` prints it. The bounds are a tenth above what is in the README.
contract GasTest is Kit {
    /// @dev The execution of a call, and what its transaction pays: 21,000, and calldata at 4 and 16 a byte.
    function _measure(string memory what, uint256 most, address from, address to, uint256 value, bytes memory data)
        private
        returns (uint256 gas)
    {
        _cold();
        VM.prank(from);
        gas = gasleft();
        (bool fine,) = to.call{value: value}(data);
        gas -= gasleft();
        require(fine, what);
        uint256 transaction = gas + 21_000;
        for (uint256 i = 0; i < data.length; i++) {
            transaction += data[i] == 0 ? 4 : 16;
        }
        _log(string.concat(what, ", transaction"), transaction);
        _log(what, gas);
        require(gas <= most, string.concat(what, ": ", VM.toString(gas)));
    }

    function _words(uint256 count) private view returns (bytes memory) {
        bytes memory words = new bytes(30 * count);
        for (uint256 i = 0; i < words.length; i++) {
            words[i] = bytes1(uint8(1 + i % 255));
        }
        uint256 batch = _rollup.batchCommitted() + 1;
        return abi.encodeCall(Rollup.commit, (batch, _chain(batch), uint64(START * 1000), words));
    }

    function testGas() external {
        address inbox = address(_inbox);
        address rollup = address(_rollup);
        address vault = address(_vault);
        _measure("first deposit", 370_000, ALICE, inbox, 2 * FEE, abi.encodeCall(Inbox.deposit, (1000)));
        _measure("deposit", 190_000, ALICE, inbox, FEE, abi.encodeCall(Inbox.deposit, (1000)));
        _measure("withdraw", 100_000, ALICE, inbox, FEE, abi.encodeCall(Inbox.withdraw, (1000)));
        uint32[7] memory x =
            [298_103_024, 949_573_150, 1_452_016_224, 1_489_440_589, 1_449_011_712, 1_346_367_562, 1_795_223_202];
        uint32[7] memory y =
            [979_216_132, 241_665_061, 728_316_262, 1_409_648_346, 1_951_720_904, 91_968_449, 885_162_069];
        bytes memory register = abi.encodeCall(Inbox.register, (1, true, true, 1 << 41, x, y));
        _measure("register", 200_000, ALICE, inbox, FEE, register);

        _measure("commit, no word", 160_000, OPERATOR, rollup, 0, _words(0));
        uint256 next = _measure("commit, the next", 130_000, OPERATOR, rollup, 0, _words(0));
        uint256 many = _measure("commit, 1,000 words", 250_000, OPERATOR, rollup, 0, _words(1000));
        _log("a word", (many - next) / 1000);
        require(many - next < 60_000, "60 gas a word");

        _payout(3, 10);
        _payout(3, 20);
        _payout(3, 30);
        _verifier.set(_statement(3));
        bytes memory finalise = abi.encodeCall(Rollup.finalise, ("", _bridge(_inbox.count())));
        _measure("finalise, 3 batches", 330_000, address(this), rollup, 0, finalise);
        IRollup.Payout[] memory payouts = _payoutsFrom(0, 2);
        _measure("pay, first of an owner", 130_000, BOB, rollup, 0, abi.encodeCall(Rollup.pay, (0, 3, payouts)));
        payouts = _payoutsFrom(0, 0);
        _measure("pay, two more", 110_000, BOB, rollup, 0, abi.encodeCall(Rollup.pay, (0, 2, payouts)));
        _measure("claim", 70_000, BOB, vault, 0, abi.encodeCall(Vault.claim, (ALICE)));
    }

    function testGasOfBlobs() external {
        bytes memory one =
            hex"97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
        bytes memory nothing = new bytes(48);
        nothing[0] = 0xc0;
        for (uint256 count = 1; count <= 6; count += 5) {
            bytes32[] memory hashes = new bytes32[](count);
            IRollup.Blob[] memory blobs = new IRollup.Blob[](count);
            for (uint256 i = 0; i < count; i++) {
                hashes[i] = bytes32((uint256(sha256(one)) & (type(uint256).max >> 8)) | (1 << 248));
                blobs[i] = IRollup.Blob(bytes32(uint256(1)), one, nothing);
            }
            VM.blobhashes(hashes);
            uint256 batch = _rollup.batchCommitted() + 1;
            bytes memory data = abi.encodeCall(Rollup.commitBlobs, (batch, _chain(batch), uint64(START * 1000), blobs));
            string memory what = string.concat("commit, blobs: ", VM.toString(count));
            _measure(what, 150_000 + 60_000 * count, OPERATOR, address(_rollup), 0, data);
        }
    }
}
