// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cells, DigestWrong} from "../../src/Cells.sol";
import {Statement} from "../../src/FinalVerifier.sol";
import {BlobCount, BlobGas, BlobLength, BlobWrong, Published, WordsLength, WordsZero} from "../../src/Published.sol";
import {Escape} from "../../src/Escape.sol";
import {IVerifier, Rollup} from "../../src/Rollup.sol";
import {IRollup, IVault} from "../../src/Settlement.sol";
import {Bridge, System} from "../../src/StateTree.sol";
import {Kit, VM} from "./Kit.sol";

contract RollupTest is Kit {
    /// @dev The generator of BLS12-381's first group, and the first power of the ceremony's secret, of which p(X) = X is the polynomial.
    bytes private constant ONE =
        hex"97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
    bytes private constant TAU =
        hex"ad3eb50121139aa34db1d545093ac9374ab7bca2c0f3bf28e27c8dcd8fc7cb42d25926fc0c97b336e9f0fb35e5a04c81";
    bytes private constant NOTHING =
        hex"c00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";
    bytes32 private constant CHAIN = bytes32(uint256(0x1234));
    uint256 private constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    // Construction.

    function _parts() private view returns (Rollup.Parts memory parts) {
        return Rollup.Parts(
            _rollup.vault(),
            _rollup.inbox(),
            _rollup.escape(),
            _rollup.council(),
            _reader,
            _rollup.verifier(),
            SEGMENT_KEY,
            OPERATOR
        );
    }

    function testConstruction() external {
        Rollup.Genesis memory genesis = _genesis(GENESIS);
        for (uint256 i = 0; i < 4; i++) {
            Rollup.Parts memory parts = _parts();
            if (i == 0) parts.vault = _zero().vault;
            if (i == 1) parts.escape = _zero().escape;
            if (i == 2) parts.council = _zero().council;
            if (i == 3) parts.operator = address(0);
            VM.expectRevert(abi.encodeWithSelector(Rollup.ZeroAddress.selector));
            new Rollup(parts, genesis);
        }
        // Another vault than the inbox's, and somebody who is no contract.
        Rollup.Parts memory others = _parts();
        others.vault = IVault(BOB);
        VM.expectRevert(abi.encodeWithSelector(Rollup.GenesisWrong.selector));
        new Rollup(others, genesis);
        others = _parts();
        others.verifier = IVerifier(BOB);
        VM.expectRevert(abi.encodeWithSelector(Rollup.NoVerifier.selector, BOB));
        new Rollup(others, genesis);
        System memory system;
        genesis.system = abi.encode(system);
        _genesisWrong(genesis);
        (system.deposits, system.registrar) = (1, (1 << 20) - 1);
        genesis.system = abi.encode(system);
        _genesisWrong(genesis);
        (system.deposits, system.batches) = (0, 1);
        genesis.system = abi.encode(system);
        _genesisWrong(genesis);
        (system.batches, system.unsealed) = (0, 1);
        genesis.system = abi.encode(system);
        _genesisWrong(genesis);
        // A time that no first batch could have.
        (system.unsealed, system.registrar, system.time) = (0, Cells.BRIDGE, (START + 900) * 1000 + 1);
        genesis.system = abi.encode(system);
        _genesisWrong(genesis);
        system.time--;
        genesis.system = abi.encode(system);
        new Rollup(_parts(), genesis);
        genesis = _genesis(GENESIS);
        genesis.deployment = abi.encode(bytes32(uint256(5)));
        _genesisWrong(genesis);
        new Rollup(_parts(), _genesis(GENESIS));
    }

    /// @dev Every bit of every cell of the bridge's two slots, and of the node beside them: live or not, a key, a right, an expiry, unsealed, a generation, a number, a head.
    function testTheBridgeOfTheGenesisIsUnused() external {
        bytes memory good = _genesis(GENESIS).bridge;
        _eq(good.length, 288, "two slots and a node");
        for (uint256 bit = 0; bit < 2304; bit++) {
            Rollup.Genesis memory genesis = _genesis(GENESIS);
            genesis.bridge[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            _genesisWrong(genesis);
        }
        bytes32 head = _inbox.headAt(0);
        Bridge[4] memory bridges =
            [Bridge(1, head, 0, 0), Bridge(0, 0, 0, 0), Bridge(0, head, 1, 0), Bridge(0, head, 0, head)];
        for (uint256 i = 0; i < 4; i++) {
            Rollup.Genesis memory genesis = _genesis(GENESIS);
            genesis.bridge = _opened(bridges[i]);
            _genesisWrong(genesis);
        }
    }

    function _zero() private pure returns (Rollup.Parts memory parts) {}

    function _genesisWrong(Rollup.Genesis memory genesis) private {
        Rollup.Parts memory parts = _parts();
        VM.expectRevert(abi.encodeWithSelector(Rollup.GenesisWrong.selector));
        new Rollup(parts, genesis);
    }

    // Commitments.

    function _commitRefused(uint256 batch, bytes32 chain, uint64 time, bytes memory words, bytes memory data) private {
        VM.prank(OPERATOR);
        VM.expectRevert(data);
        _rollup.commit(batch, chain, time, words);
    }

    function testCommit() external {
        bytes memory words = abi.encodePacked(uint240(5), uint240(7), uint240(11));
        bytes32 commitment = keccak256(words);
        uint256 z = uint256(keccak256(abi.encodePacked(commitment, CHAIN))) % R;
        uint256 value = addmod(mulmod(addmod(mulmod(5, z, R), 7, R), z, R), 11, R);
        bytes32 digest = Published.digest(CHAIN, z, value, _now());
        VM.expectEmit(address(_rollup));
        emit IRollup.Committed(1, CHAIN, commitment, digest, _now(), 0);
        VM.prank(OPERATOR);
        _rollup.commit(1, CHAIN, _now(), words);
        (bytes32 stored, uint64 time, uint64 committedAt) = _rollup.batches(1);
        _eq(stored, digest, "digest");
        _eq(time, START * 1000, "time");
        _eq(committedAt, START, "committed at");
        _eq(_rollup.batchCommitted(), 1, "committed");
        _eq(_rollup.batchFinal(), 0, "final");
    }

    function testFuzzEvaluation(bytes32 seed, uint8 count) external {
        bytes memory words = "";
        uint256[] memory values = new uint256[](count);
        for (uint256 i = 0; i < count; i++) {
            values[i] = uint256(keccak256(abi.encode(seed, i))) >> 16;
            // Some of the largest.
            if (values[i] & 7 == 0) values[i] = type(uint240).max;
            words = abi.encodePacked(words, uint240(values[i]));
        }
        uint256 z = uint256(keccak256(abi.encodePacked(keccak256(words), CHAIN))) % R;
        uint256 value = 0;
        uint256 power = 1;
        for (uint256 i = count; i > 0; i--) {
            value = addmod(value, mulmod(values[i - 1], power, R), R);
            power = mulmod(power, z, R);
        }
        VM.prank(OPERATOR);
        _rollup.commit(1, CHAIN, _now(), words);
        (bytes32 stored,,) = _rollup.batches(1);
        _eq(stored, Published.digest(CHAIN, z, value, _now()), "digest");
    }

    function testCommitRefuses() external {
        VM.expectRevert(abi.encodeWithSelector(Rollup.NotAllowed.selector, address(this)));
        _rollup.commit(1, CHAIN, _now(), "");
        IRollup.Blob[] memory blobs = new IRollup.Blob[](1);
        VM.expectRevert(abi.encodeWithSelector(Rollup.NotAllowed.selector, address(this)));
        _rollup.commitBlobs(1, CHAIN, _now(), blobs);
        _commitRefused(2, CHAIN, _now(), "", abi.encodeWithSelector(Rollup.BatchWrong.selector, 1, 2));
        _commitRefused(0, CHAIN, _now(), "", abi.encodeWithSelector(Rollup.BatchWrong.selector, 1, 0));
        _commitRefused(1, CHAIN, _now(), new bytes(31), abi.encodeWithSelector(WordsLength.selector, 31));
        _commitRefused(1, CHAIN, _now(), new bytes(30), abi.encodeWithSelector(WordsZero.selector));
        for (uint256 cell = 0; cell < 8; cell++) {
            bytes32 chain = bytes32(uint256(0x78000001) << (32 * cell));
            _commitRefused(1, chain, _now(), "", abi.encodeWithSelector(DigestWrong.selector, chain));
            chain = bytes32(uint256(0xffffffff) << (32 * cell));
            _commitRefused(1, chain, _now(), "", abi.encodeWithSelector(DigestWrong.selector, chain));
        }
        _commit(0);
        // The same one again.
        _commitRefused(1, CHAIN, _now(), "", abi.encodeWithSelector(Rollup.BatchWrong.selector, 2, 1));
    }

    function testTimes() external {
        VM.warp(START + 10 days);
        uint256 earliest = (START + 9 days) * 1000;
        uint256 latest = (START + 10 days + 900) * 1000;
        uint256[2] memory wrong = [earliest - 1, latest + 1];
        for (uint256 i = 0; i < 2; i++) {
            bytes memory data = abi.encodeWithSelector(Rollup.TimeRange.selector, earliest, latest, wrong[i]);
            _commitRefused(1, CHAIN, uint64(wrong[i]), "", data);
        }
        VM.prank(OPERATOR);
        _rollup.commit(1, CHAIN, uint64(earliest), "");
        VM.prank(OPERATOR);
        _rollup.commit(2, CHAIN, uint64(latest), "");
        // Not before the one before.
        bytes memory before = abi.encodeWithSelector(Rollup.TimeRange.selector, latest, latest, latest - 1);
        _commitRefused(3, CHAIN, uint64(latest - 1), "", before);
        VM.prank(OPERATOR);
        _rollup.commit(3, CHAIN, uint64(latest), "");
        _finalise();
        before = abi.encodeWithSelector(Rollup.TimeRange.selector, latest, latest, 5);
        _commitRefused(4, CHAIN, 5, "", before);
    }

    function testNotBeforeTheGenesis() external {
        uint256 latest = (START + 900) * 1000;
        bytes memory data = abi.encodeWithSelector(Rollup.TimeRange.selector, START * 1000, latest, START * 1000 - 1);
        _commitRefused(1, CHAIN, uint64(START * 1000 - 1), "", data);
    }

    // Blobs.

    function _versioned(bytes memory commitment) private pure returns (bytes32) {
        return bytes32((uint256(sha256(commitment)) & (type(uint256).max >> 8)) | (1 << 248));
    }

    function _blobHashes(uint256 count) private returns (bytes32[] memory hashes) {
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; i++) {
            hashes[i] = _versioned(i == 0 ? TAU : ONE);
        }
        VM.blobhashes(hashes);
    }

    /// @dev The first blob's polynomial is X, those of the others are 1.
    function _blobs(uint256 count, uint256 z) private pure returns (IRollup.Blob[] memory blobs) {
        blobs = new IRollup.Blob[](count);
        for (uint256 i = 0; i < count; i++) {
            blobs[i] = i == 0 ? IRollup.Blob(bytes32(z), TAU, ONE) : IRollup.Blob(bytes32(uint256(1)), ONE, NOTHING);
        }
    }

    function _point(bytes32[] memory hashes) private pure returns (bytes32 commitment, uint256 z) {
        commitment = keccak256(abi.encodePacked(hashes));
        z = uint256(keccak256(abi.encodePacked(commitment, CHAIN))) % R;
    }

    function testBlobs() external {
        for (uint256 count = 1; count <= 3; count++) {
            (bytes32 commitment, uint256 z) = _point(_blobHashes(count));
            uint256 step = z;
            for (uint256 i = 0; i < 12; i++) {
                step = mulmod(step, step, R);
            }
            uint256 value = z;
            if (count > 1) value = addmod(value, step, R);
            if (count > 2) value = addmod(value, mulmod(step, step, R), R);
            bytes32 digest = Published.digest(CHAIN, z, value, _now());
            VM.expectEmit(address(_rollup));
            emit IRollup.Committed(count, CHAIN, commitment, digest, _now(), count);
            VM.prank(OPERATOR);
            _rollup.commitBlobs(count, CHAIN, _now(), _blobs(count, z));
        }
    }

    function _blobsRefused(IRollup.Blob[] memory blobs, bytes memory data) private {
        VM.prank(OPERATOR);
        VM.expectRevert(data);
        _rollup.commitBlobs(1, CHAIN, uint64(START * 1000), blobs);
    }

    function testBlobsRefused() external {
        (, uint256 z) = _point(_blobHashes(2));
        // Not all of them, more than there are, none.
        _blobsRefused(_blobs(1, z), abi.encodeWithSelector(BlobCount.selector, 1));
        _blobsRefused(_blobs(3, z), abi.encodeWithSelector(BlobCount.selector, 3));
        _blobsRefused(_blobs(0, z), abi.encodeWithSelector(BlobCount.selector, 0));
        IRollup.Blob[] memory blobs = _blobs(2, z);
        blobs[0].y = bytes32(z + 1);
        _evaluationRefused(blobs, 0);
        // The same value, not canonical.
        blobs[0].y = bytes32(z + R);
        _evaluationRefused(blobs, 0);
        blobs = _blobs(2, z);
        blobs[0].commitment = ONE;
        _evaluationRefused(blobs, 0);
        blobs = _blobs(2, z);
        blobs[0].proof = NOTHING;
        _evaluationRefused(blobs, 0);
        blobs = _blobs(2, z);
        blobs[0].proof = abi.encodePacked(ONE, uint8(0));
        _blobsRefused(blobs, abi.encodeWithSelector(BlobLength.selector, 0));
        // Lengths that add up.
        blobs[0].commitment = hex"";
        blobs[0].proof = abi.encodePacked(TAU, ONE);
        _blobsRefused(blobs, abi.encodeWithSelector(BlobLength.selector, 0));
        blobs = _blobs(2, z);
        (blobs[0], blobs[1]) = (blobs[1], blobs[0]);
        _evaluationRefused(blobs, 1);
        // Another transaction's.
        bytes32[] memory none = new bytes32[](0);
        VM.blobhashes(none);
        _blobsRefused(_blobs(2, z), abi.encodeWithSelector(BlobCount.selector, 2));
    }

    /// @dev The proof of this blob is refused. (How much gas it had depends on the compiler.)
    function _evaluationRefused(IRollup.Blob[] memory blobs, uint256 index) private {
        uint256 used = gasleft();
        (bool fine, bytes memory answer) = _commitWith(blobs, 10_000_000);
        used -= gasleft();
        require(!fine && answer.length == 68 && bytes4(answer) == BlobWrong.selector, "refused");
        (uint256 at, uint256 gas) = _arguments(answer);
        _eq(at, index, "blob");
        // A refusal takes all that it is given: so it was given all that there was, and a dearer evaluation is no matter.
        require(gas > 9_000_000 && used > 9_000_000, "it has all that there is");
    }

    function _commitWith(IRollup.Blob[] memory blobs, uint256 gas) private returns (bool, bytes memory) {
        bytes memory data = abi.encodeCall(Rollup.commitBlobs, (1, CHAIN, uint64(START * 1000), blobs));
        VM.prank(OPERATOR);
        return address(_rollup).call{gas: gas}(data);
    }

    /// @dev The first and the last argument of an error.
    function _arguments(bytes memory answer) private pure returns (uint256 first, uint256 last) {
        assembly ("memory-safe") {
            first := mload(add(answer, 36))
            last := mload(add(answer, mload(answer)))
        }
    }

    /// @dev Of good blobs, whatever the gas is: they are committed, or it says that it was too little, or there is not even enough to say that; never that a proof is refused.
    function testTooLittleGasIsNoRefusal() external {
        (, uint256 z) = _point(_blobHashes(1));
        IRollup.Blob[] memory blobs = _blobs(1, z);
        uint256 told = 0;
        uint256 done = 0;
        for (uint256 gas = 20_000; gas < 260_000; gas += 1000) {
            if (_rollup.batchCommitted() == 1) {
                _remove(1);
            }
            (bool fine, bytes memory answer) = _commitWith(blobs, gas);
            if (fine) {
                done++;
            } else if (answer.length != 0) {
                require(bytes4(answer) == BlobGas.selector, "for want of gas");
                (uint256 index, uint256 got) = _arguments(answer);
                require(index == 0 && got < 51_000, "less than it costs");
                told++;
            }
        }
        require(told > 20 && done > 20, "both");
        // A proof that is refused with more than it costs.
        blobs[0].proof = NOTHING;
        (, bytes memory refused) = _commitWith(blobs, 250_000);
        require(bytes4(refused) == BlobWrong.selector, "refused");
    }

    // Finality.

    function testFinalise() external {
        _deposit(ALICE, 1000);
        _commit(1);
        _commit(0);
        _commit(3);
        VM.warp(START + 60);
        uint64 time = _rollup.timeFinal();
        Statement memory statement = _statement(2);
        _verifier.set(statement);
        VM.expectEmit(address(_rollup));
        emit IRollup.Final(2, statement.rootNew, 2, 0);
        _rollup.finalise("", _bridge(2));
        _eq(_rollup.root(), statement.rootNew, "root");
        _eq(_rollup.batchFinal(), 2, "final");
        _eq(_rollup.batchCommitted(), 3, "committed");
        _eq(_rollup.inboxConsumed(), 2, "consumed");
        _eq(_rollup.finalSince(), START + 60, "since");
        _eq(_rollup.timeFinal(), time, "time");
        _finalise();
        _eq(_rollup.batchFinal(), 3, "the rest");
    }

    function _finaliseRefused(Statement memory statement, bytes memory data) private {
        bytes memory opening = _bridge(_inbox.count());
        _verifier.set(statement);
        VM.expectRevert(data);
        _rollup.finalise("", opening);
    }

    function testFinaliseRefuses() external {
        _commit(1);
        VM.warp(START + 60);
        _commit(2);
        bytes32 one = bytes32(uint256(0x111));
        Statement memory s = _statement(2);
        s.rootOld = one;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.RootOldWrong.selector, GENESIS, one));
        s = _statement(2);
        s.segmentKey = one;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.SegmentKeyWrong.selector, SEGMENT_KEY, one));
        s = _statement(2);
        s.batchFirst = 2;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.BatchWrong.selector, 1, 2));
        s = _statement(2);
        s.batchLast = 3;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.NotCommitted.selector, 3));
        s.batchLast = 0;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.NotCommitted.selector, 0));
        s = _statement(2);
        s.timeStart++;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.TimeWrong.selector, START * 1000, START * 1000 + 1));
        s = _statement(2);
        s.timeEnd--;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.TimeWrong.selector, s.timeEnd + 1, s.timeEnd));
        s = _statement(2);
        bytes32 data = s.data;
        s.data = one;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.DataWrong.selector, data, one));
        // The data of one of two batches.
        s = _statement(1);
        bytes32 part = s.data;
        s = _statement(2);
        s.data = part;
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.DataWrong.selector, data, part));
        _finalise();
        // The same proof again.
        s = _statement(2);
        (s.rootOld, s.batchFirst, s.data) = (GENESIS, 1, data);
        _finaliseRefused(s, abi.encodeWithSelector(Rollup.RootOldWrong.selector, _rollup.root(), GENESIS));
    }

    function _bridgeRefused(Bridge memory bridge, bytes memory data) private {
        bytes memory opening = _opened(bridge);
        VM.expectRevert(data);
        _rollup.finalise("", opening);
    }

    function testTheInboxIsEthereums() external {
        _deposit(ALICE, 1000);
        _commit(0);
        _finalise();
        _deposit(BOB, 1000);
        _commit(0);
        _verifier.set(_statement(2));
        bytes32 three = _inbox.headAt(3);
        bytes32 four = _inbox.headAt(4);
        bytes32 one = _inbox.headAt(1);
        _bridgeRefused(Bridge(5, four, 0, 0), abi.encodeWithSelector(Rollup.InboxRange.selector, 5));
        _bridgeRefused(Bridge(1, one, 0, 0), abi.encodeWithSelector(Rollup.InboxRange.selector, 1));
        // An entry skipped: as many, with another head.
        _bridgeRefused(Bridge(3, four, 0, 0), abi.encodeWithSelector(Rollup.InboxHeadWrong.selector, three, four));
        _bridgeRefused(Bridge(4, three, 0, 0), abi.encodeWithSelector(Rollup.InboxHeadWrong.selector, four, three));
        _rollup.finalise("", _opened(Bridge(3, three, 0, 0)));
        _eq(_rollup.inboxConsumed(), 3, "consumed");
    }

    function testNoEntryThatIsDueIsLeftOut() external {
        _deposit(ALICE, 1000);
        VM.warp(START + 1);
        _deposit(ALICE, 1000);
        VM.warp(START + 24 hours);
        _commit(0);
        VM.warp(START + 24 hours + 1);
        _commit(0);
        // When the second was committed, the first entries were older than a day. When the first was, none was.
        _verifier.set(_statement(2));
        bytes memory opening = _bridge(1);
        VM.expectRevert(abi.encodeWithSelector(Rollup.EntryLeftOut.selector, 1));
        _rollup.finalise("", opening);
        _verifier.set(_statement(1));
        _rollup.finalise("", _bridge(0));
        _verifier.set(_statement(2));
        _rollup.finalise("", _bridge(2));
        _eq(_rollup.inboxConsumed(), 2, "consumed");
    }

    // Payouts.

    function testPayouts() external {
        _deposit(ALICE, 1000);
        _deposit(BOB, 1000);
        _payout(3, 10);
        _payout(4, 20);
        _commit(0);
        _finalise();
        _payout(3, 30);
        _payout(2, 40);
        _payout(3, 50);
        _commit(0);
        _finalise();
        _eq(_rollup.payoutCount(), 5, "count");
        _unpaid(0, 0, 2);
        _unpaid(1, 2, 5);
        VM.expectEmit(address(_rollup));
        emit IRollup.Paid(4, 3, 50);
        VM.expectEmit(address(_rollup));
        emit IRollup.Paid(3, 2, 40);
        _pay(1, _payoutsFrom(1, 3));
        _unpaid(1, 2, 3);
        _pay(0, _payoutsFrom(0, 1));
        _unpaid(0, 0, 1);
        _pay(1, _payoutsFrom(1, 2));
        _unpaid(1, 2, 2);
        _pay(0, _payoutsFrom(0, 0));
        _unpaid(0, 0, 0);
        _eq(_vault.claimable(ALICE), 90, "alice");
        _eq(_vault.claimable(BOB), 20, "bob");
        _eq(_vault.claimable(ORACLE), 40, "an account of the genesis");
        for (uint256 i = 0; i < 5; i++) {
            for (uint256 run = 0; run < 2; run++) {
                _payRefused(run, _payouts[i], abi.encodeWithSelector(Rollup.NothingToPay.selector, run));
            }
        }
        _settle(4, 5);
        _eq(_rollup.runs(), 3, "runs keep their numbers");
        _pay(2, _payoutsFrom(2, 5));
        _eq(_vault.claimable(BOB), 25, "the next one");
    }

    function _unpaid(uint256 run, uint256 from, uint256 to) private view {
        (uint256 first, uint256 end, bytes32 head) = _rollup.unpaid(run);
        _eq(first, from, "from");
        _eq(end, to, "to");
        _eq(head, from == to ? bytes32(0) : _payoutHeads[to], "head");
    }

    /// @dev However many payouts come in later batches, an earlier run is paid alone.
    function testLaterPayoutsAreNotInTheWay() external {
        _deposit(ALICE, 1000);
        _deposit(BOB, 1000);
        _settle(3, 500);
        for (uint256 i = 0; i < 40; i++) {
            _payout(4, 1);
        }
        _commit(0);
        _finalise();
        _settle(4, 1);
        _eq(_rollup.runs(), 3, "runs");
        _pay(0, _payoutsFrom(0, 0));
        _eq(_vault.claimable(ALICE), 500, "paid");
        _unpaid(1, 1, 41);
        _unpaid(2, 41, 42);
        // Within a run, the later ones come first.
        _payRefused(1, _payouts[1], abi.encodeWithSelector(Rollup.PayoutWrong.selector, 40));
    }

    /// @dev In any order of runs, each payout once: some runs of some payouts, and calls that pay some of one.
    function testFuzzRunsInAnyOrder(uint8[5] memory lengths, uint256 seed) external {
        _deposit(ALICE, 1_000_000);
        _deposit(BOB, 1_000_000);
        uint256 sum = 0;
        for (uint256 i = 0; i < 5; i++) {
            for (uint256 n = 0; n < lengths[i] % 4; n++) {
                uint256 amount = 1 + uint256(keccak256(abi.encode(seed, i, n))) % 1000;
                sum += amount;
                _payout(3 + amount % 2, amount);
            }
            _commit(0);
            _finalise();
        }
        uint256 runs = _rollup.runs();
        uint256 left = _payouts.length;
        for (uint256 call = 0; call < 60 && left > 0; call++) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 run = seed % runs;
            (uint256 from, uint256 to,) = _rollup.unpaid(run);
            // Anything but the run's last is refused, those of other runs and what was paid too.
            uint256 which = (seed >> 64) % _payouts.length;
            if (from == to) {
                _payRefused(run, _payouts[which], abi.encodeWithSelector(Rollup.NothingToPay.selector, run));
                continue;
            }
            if (which != to - 1) {
                _payRefused(run, _payouts[which], abi.encodeWithSelector(Rollup.PayoutWrong.selector, to - 1));
            }
            uint256 first = to - 1 - (seed >> 128) % (to - from);
            _pay(run, _payoutsFrom(run, first));
            left -= to - first;
        }
        for (uint256 run = 0; run < runs; run++) {
            (uint256 from,,) = _rollup.unpaid(run);
            _pay(run, _payoutsFrom(run, from));
            _unpaid(run, from, from);
        }
        _eq(_vault.claimableTotal(), sum, "each once");
    }

    function testPayoutsRefuse() external {
        _deposit(ALICE, 1000);
        _deposit(BOB, 1000);
        _payout(3, 10);
        _payout(4, 20);
        _commit(0);
        _finalise();
        bytes memory wrong = abi.encodeWithSelector(Rollup.PayoutWrong.selector, 1);
        IRollup.Payout memory good = _payouts[1];
        _payRefused(1, good, abi.encodeWithSelector(Rollup.NoRun.selector, 1, 1));
        VM.expectRevert(abi.encodeWithSelector(Rollup.NoRun.selector, 1, 1));
        _rollup.unpaid(1);
        _payRefused(_payouts[0], wrong);
        _payRefused(IRollup.Payout(3, 20, good.headBefore), wrong);
        _payRefused(IRollup.Payout(4, 21, good.headBefore), wrong);
        _payRefused(IRollup.Payout(4, 20, _payoutHeads[0]), wrong);
        // What the cells do not hold is not dropped.
        _payRefused(IRollup.Payout(4, 20 + (1 << 84), good.headBefore), wrong);
        _payRefused(IRollup.Payout(4, 20 + (1 << 255), good.headBefore), wrong);
        _payRefused(IRollup.Payout(4 + (1 << 32), 20, good.headBefore), wrong);
        _payRefused(IRollup.Payout(1 << 20, 20, good.headBefore), wrong);
        // A head before that is the same modulo p, in cells that stay below 2^32.
        bytes32 other = bytes32(uint256(good.headBefore) + 0x78000001);
        _payRefused(IRollup.Payout(4, 20, other), abi.encodeWithSelector(DigestWrong.selector, other));
    }

    function _payRefused(IRollup.Payout memory payout, bytes memory data) private {
        _payRefused(0, payout, data);
    }

    function _payRefused(uint256 run, IRollup.Payout memory payout, bytes memory data) private {
        IRollup.Payout[] memory payouts = new IRollup.Payout[](1);
        payouts[0] = payout;
        uint256 end = 0;
        if (run < _rollup.runs()) (, end,) = _rollup.unpaid(run);
        VM.expectRevert(data);
        _rollup.pay(run, end, payouts);
    }

    function testPayoutsAdvance() external {
        _deposit(ALICE, 1000);
        _settle(3, 1);
        _settle(3, 2);
        _commit(0);
        _verifier.set(_statement(3));
        bytes32 head = _inbox.headAt(2);
        bytes32 one = _payoutHeads[1];
        _bridgeRefused(Bridge(2, head, 1, one), abi.encodeWithSelector(Rollup.PayoutsWrong.selector, 1));
        _bridgeRefused(Bridge(2, head, 2, one), abi.encodeWithSelector(Rollup.PayoutsWrong.selector, 2));
        // More than the state's number of them can say.
        bytes memory many = abi.encodeWithSelector(Rollup.PayoutsWrong.selector, 1 << 30);
        _bridgeRefused(Bridge(2, head, 1 << 30, one), many);
        _finalise();
        _eq(_rollup.runs(), 2, "no run of none");
        // Or than can become final at once.
        _commit(0);
        _verifier.set(_statement(4));
        many = abi.encodeWithSelector(Rollup.RunTooLong.selector, 1024, 1025);
        _bridgeRefused(Bridge(2, head, 2 + 1025, one), many);
        many = abi.encodeWithSelector(Rollup.RunTooLong.selector, 1024, (1 << 30) - 1 - 2);
        _bridgeRefused(Bridge(2, head, (1 << 30) - 1, one), many);
        _rollup.finalise("", _opened(Bridge(2, head, 2 + 1024, one)));
        _eq(_rollup.payoutCount(), 2 + 1024, "a full run");
        // The last ones that there can be.
        _count((1 << 30) - 3);
        _commit(0);
        _verifier.set(_statement(5));
        many = abi.encodeWithSelector(Rollup.PayoutsWrong.selector, 1 << 30);
        _bridgeRefused(Bridge(2, head, 1 << 30, one), many);
        _rollup.finalise("", _opened(Bridge(2, head, (1 << 30) - 1, one)));
        _eq(_rollup.payoutCount(), (1 << 30) - 1, "the most");
    }

    /// @dev What Ethereum asked for has to be consumed, however much it is: beside it, there is room for as many payouts as ever.
    function testEntriesAreBesideTheBound() external {
        _deposit(ALICE, 1_000_000);
        _settle(3, 1);
        for (uint256 i = 0; i < 1100; i++) {
            VM.prank(ALICE);
            _inbox.withdraw{value: FEE}(1);
        }
        // A day without batches: all of them are due.
        VM.warp(START + 24 hours + 1);
        _commit(0);
        _commit(0);
        bytes32 head = _payoutHeads[1];
        uint256 count = _inbox.count();
        bytes32 all = _inbox.headAt(count);
        _eq(count, 2 + 1100, "entries");
        _verifier.set(_statement(3));
        bytes32 some = _inbox.headAt(count - 1);
        bytes memory due = abi.encodeWithSelector(Rollup.EntryLeftOut.selector, count - 1);
        _bridgeRefused(Bridge(count - 1, some, 1 + 1100, head), due);
        bytes memory many = abi.encodeWithSelector(Rollup.RunTooLong.selector, 1024 + 1100, 1024 + 1101);
        _bridgeRefused(Bridge(count, all, 1 + 1024 + 1101, head), many);
        _rollup.finalise("", _opened(Bridge(count, all, 1 + 1024 + 1100, head)));
        // What was consumed before does not count again.
        _commit(0);
        _verifier.set(_statement(4));
        many = abi.encodeWithSelector(Rollup.RunTooLong.selector, 1024, 1025);
        _bridgeRefused(Bridge(count, all, 1 + 1024 + 1100 + 1025, head), many);
    }

    /// @dev The same after a pause, in which entries are appended and no batch is committed.
    function testEntriesOfAPauseAreConsumed() external {
        _deposit(ALICE, 1_000_000);
        _settle(3, 1);
        _pause(2 days);
        for (uint256 i = 0; i < 1025; i++) {
            VM.prank(ALICE);
            _inbox.withdraw{value: FEE}(1);
        }
        VM.warp(START + 2 days);
        for (uint256 i = 0; i < 1025; i++) {
            _payout(3, 1);
        }
        _commit(0);
        _finalise();
        _eq(_rollup.inboxConsumed(), 2 + 1025, "consumed");
        _eq(_rollup.payoutCount(), 1 + 1025, "payouts");
    }

    /// @dev So many payouts were final.
    function _count(uint256 payouts) private {
        uint256 slot = 0;
        while (uint256(VM.load(address(_rollup), bytes32(slot))) != _rollup.payoutCount()) {
            slot++;
        }
        VM.store(address(_rollup), bytes32(slot), bytes32(payouts));
        _eq(_rollup.payoutCount(), payouts, "the slot");
    }

    /// @dev The worst that can be in front of a payout, each of another owner: what it costs to have them all paid.
    function testAFullRunIsPaidForSo() external {
        _deposit(ALICE, 1_000_000);
        for (uint256 i = 0; i < 1024; i++) {
            address owner = address(uint160(0xdead0000 + i));
            _fund(owner);
            _deposit(owner, DEPOSIT_MIN);
            _payout(i == 0 ? 3 : 4 + i, 1);
        }
        _commit(0);
        _finalise();
        uint256 calls = 0;
        uint256 sum = 0;
        for (uint256 to = 1024; to > 0; calls++) {
            uint256 from = to > 256 ? to - 256 : 0;
            IRollup.Payout[] memory payouts = _payoutsFrom(0, from);
            _cold();
            uint256 gas = gasleft();
            _rollup.pay(0, to, payouts);
            gas -= gasleft();
            // With 21,000, and at most 40 a byte of three words each, within the 2^24 that a transaction can have.
            require(gas + 21_000 + 40 * 96 * payouts.length < 1 << 24, "a transaction");
            sum += gas;
            to = from;
        }
        _log("gas of a full run", sum);
        _eq(calls, 4, "calls");
        _eq(_vault.claimable(ALICE), 1, "paid");
    }

    /// @dev Two who pay the same: what the first has paid, the second passes over.
    function testOthersPayToo() external {
        _deposit(ALICE, 1000);
        for (uint256 i = 0; i < 5; i++) {
            _payout(3, 10 + i);
        }
        _commit(0);
        _finalise();
        IRollup.Payout[] memory all = _payoutsFrom(0, 0);
        IRollup.Payout[] memory last = _payoutsFrom(0, 4);
        IRollup.Payout[] memory some = _payoutsFrom(0, 2);
        _rollup.pay(0, 5, last);
        _unpaid(0, 0, 4);
        // All of it was paid: nothing happens.
        _rollup.pay(0, 5, last);
        _unpaid(0, 0, 4);
        _rollup.pay(0, 5, some);
        _unpaid(0, 0, 2);
        // A number too low or too high does not make another payout of it.
        VM.expectRevert(abi.encodeWithSelector(Rollup.PayoutWrong.selector, 1));
        _rollup.pay(0, 2, all);
        VM.expectRevert(abi.encodeWithSelector(Rollup.PayoutWrong.selector, 1));
        _rollup.pay(0, 4, all);
        VM.expectRevert(abi.encodeWithSelector(Rollup.PayoutWrong.selector, 1));
        _rollup.pay(0, 6, all);
        _rollup.pay(0, type(uint256).max, all);
        _unpaid(0, 0, 2);
        _rollup.pay(0, 5, all);
        _unpaid(0, 0, 0);
        _eq(_vault.claimable(ALICE), 60, "each once");
        VM.expectRevert(abi.encodeWithSelector(Rollup.NothingToPay.selector, 0));
        _rollup.pay(0, 0, last);
    }

    // Removal.

    function _remove(uint256 from) private {
        VM.prank(OPERATOR);
        _rollup.remove(from);
    }

    function _removeRefused(uint256 from, bytes memory data) private {
        VM.prank(OPERATOR);
        VM.expectRevert(data);
        _rollup.remove(from);
    }

    function _nothing(uint256 from) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Rollup.NothingToRemove.selector, from);
    }

    function _early(uint256 notBefore) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Rollup.TooEarly.selector, notBefore);
    }

    function testRemove() external {
        _removeRefused(0, _nothing(0));
        _removeRefused(1, _nothing(1));
        _commit(0);
        _finalise();
        _removeRefused(1, _nothing(1));
        VM.warp(START + 100);
        _commit(1);
        VM.warp(START + 2 days);
        _commit(2);
        // For six hours after it was committed, and after three days again.
        VM.warp(START + 2 days + 6 hours + 1);
        _removeRefused(2, _early(START + 100 + 3 days));
        _removeRefused(3, _early(START + 5 days));
        _removeRefused(4, _nothing(4));
        VM.warp(START + 100 + 3 days);
        _removeRefused(2, _early(START + 100 + 3 days));
        VM.warp(START + 101 + 3 days);
        // What came later goes with it.
        _removeRefused(3, _early(START + 5 days));
        VM.prank(OPERATOR);
        VM.expectEmit(address(_rollup));
        emit IRollup.Removed(2, 3);
        _rollup.remove(2);
        _eq(_rollup.batchCommitted(), 1, "committed");
        Statement memory statement = _statement(1);
        (statement.batchFirst, statement.batchLast) = (2, 3);
        _finaliseRefused(statement, abi.encodeWithSelector(Rollup.NotCommitted.selector, 3));
        _removeRefused(2, _nothing(2));
        // Others take their place, not before what is final.
        _commit(5);
        _finalise();
        _eq(_rollup.batchFinal(), 2, "final");
    }

    /// @dev The operator's batch that nobody can prove does not stop the venue: others take its place in the same block, and those before it stay.
    function testTheOperatorTakesBack() external {
        _commit(1);
        _commit(2);
        _commit(3);
        Statement memory first = _statement(1);
        Statement memory old = _statement(2);
        VM.warp(START + 6 hours);
        VM.prank(OPERATOR);
        VM.expectEmit(address(_rollup));
        emit IRollup.Removed(2, 3);
        _rollup.remove(2);
        _eq(_rollup.batchCommitted(), 1, "committed");
        _removeRefused(2, _nothing(2));
        _finaliseRefused(old, abi.encodeWithSelector(Rollup.NotCommitted.selector, 2));
        // The same number with other data: what was proven of the former does not prove it.
        _commit(4);
        old.timeEnd = _now();
        _finaliseRefused(old, abi.encodeWithSelector(Rollup.DataWrong.selector, _statement(2).data, old.data));
        _verifier.set(first);
        _rollup.finalise("", _bridge(0));
        // What is final stays.
        _removeRefused(1, _nothing(1));
        _eq(_rollup.batchFinal(), 1, "final");
        VM.warp(START + 12 hours + 1);
        _removeRefused(2, _early(START + 6 hours + 3 days));
    }

    /// @dev The same data again: the proof is good still.
    function testTheSameAgain() external {
        _commit(1);
        _commit(2);
        Statement memory old = _statement(2);
        _remove(1);
        _commit(1);
        _commit(2);
        _verifier.set(old);
        _rollup.finalise("", _bridge(0));
        _eq(_rollup.batchFinal(), 2, "final");
    }

    /// @dev Nobody but the operator, however late it is: an operator that the council has replaced is nobody.
    function testOnlyTheOperatorRemoves() external {
        _commit(0);
        VM.warp(START + 5 days);
        VM.expectRevert(abi.encodeWithSelector(Rollup.NotAllowed.selector, address(this)));
        _rollup.remove(1);
        VM.prank(address(_council));
        _rollup.setOperator(BOB);
        _removeRefused(1, abi.encodeWithSelector(Rollup.NotAllowed.selector, OPERATOR));
        VM.prank(BOB);
        _rollup.remove(1);
        _eq(_rollup.batchCommitted(), 0, "committed");
    }

    /// @dev Whoever commits and removes moves no deadline: entries are due by when the last one is committed, and the freeze by what is final.
    function testRemovingMovesNoDeadline() external {
        _deposit(ALICE, 1000);
        VM.warp(START + 24 hours);
        _commit(0);
        VM.warp(START + 24 hours + 1);
        _remove(1);
        _commit(0);
        // Committed a second later, it has to consume them.
        _verifier.set(_statement(1));
        bytes memory none = _bridge(0);
        VM.expectRevert(abi.encodeWithSelector(Rollup.EntryLeftOut.selector, 0));
        _rollup.finalise("", none);
        for (uint256 quarter = 5; quarter <= 28; quarter++) {
            VM.warp(START + quarter * 6 hours);
            _remove(1);
            _commit(0);
        }
        _eq(_rollup.finalSince(), START, "nothing became final");
        VM.expectRevert(abi.encodeWithSelector(Escape.NotLate.selector));
        _escape.freeze();
        VM.warp(START + 7 days + 1);
        _escape.freeze();
        _removeRefused(1, abi.encodeWithSelector(Rollup.IsFrozen.selector));
    }

    /// @dev Wherever a pause lies: it is removed within six hours, or after three days, of its commitment or of the end of a pause since, and at no other time.
    function testFuzzWhenItGoes(uint256 pauseAt, uint256 length, uint256 commitAt, uint256 removeAt) external {
        (pauseAt, length) = (pauseAt % 7 days, 1 + length % 3 days);
        (commitAt, removeAt) = (commitAt % 7 days, removeAt % 11 days);
        uint256 pauseEnd = pauseAt + length;
        VM.assume(removeAt >= commitAt && (commitAt < pauseAt || commitAt >= pauseEnd));
        if (commitAt < pauseAt) {
            VM.warp(START + commitAt);
            _commit(0);
        }
        if (pauseAt <= removeAt) {
            VM.warp(START + pauseAt);
            _pause(length);
        }
        if (commitAt >= pauseEnd) {
            VM.warp(START + commitAt);
            _commit(0);
        }
        VM.warp(START + removeAt);
        uint256 since = pauseAt <= removeAt && commitAt < pauseAt ? pauseEnd : commitAt;
        bool goes = removeAt <= since + 6 hours || removeAt > since + 3 days;
        VM.prank(OPERATOR);
        (bool done, bytes memory answer) = address(_rollup).call(abi.encodeCall(Rollup.remove, (1)));
        require(done == goes, "when it goes");
        if (!done) _eq(keccak256(answer), keccak256(_early(START + since + 3 days)), "why");
        // After it could not be taken back any more, it had three days for its proof, not counting the pause.
        uint256 open = removeAt - commitAt;
        if (commitAt < pauseAt && removeAt > pauseAt) {
            open -= (removeAt < pauseEnd ? removeAt : pauseEnd) - pauseAt;
        }
        if (done && removeAt > since + 6 hours) require(open > 3 days, "it had its time");
    }

    /// @dev A batch that nobody can prove, committed before a pause, does not stop the venue after it.
    function testAPauseGivesBothTimesAgain() external {
        _commit(0);
        VM.warp(START + 2 days);
        _removeRefused(1, _early(START + 3 days));
        _pause(3 days);
        VM.warp(START + 5 days + 6 hours + 1);
        _removeRefused(1, _early(START + 8 days));
        VM.warp(START + 5 days + 6 hours);
        _remove(1);
        _commit(0);
        _finalise();
    }

    function testInAPauseItIsTakenBack() external {
        _commit(0);
        VM.warp(START + 2 days);
        _pause(3 days);
        VM.warp(START + 4 days);
        _remove(1);
        _commitRefused(1, CHAIN, _now(), "", abi.encodeWithSelector(Rollup.IsPaused.selector));
        _eq(_rollup.batchCommitted(), 0, "committed");
    }

    // Pauses and the freeze.

    function testAPauseStopsBatchesOnly() external {
        _deposit(ALICE, 1000);
        _settle(3, 10);
        _commit(0);
        Statement memory statement = _statement(2);
        _pause(3 days);
        bytes memory paused = abi.encodeWithSelector(Rollup.IsPaused.selector);
        _commitRefused(3, CHAIN, uint64(START * 1000), "", paused);
        _blobsRefused(new IRollup.Blob[](0), paused);
        _finaliseRefused(statement, paused);
        _pay(0, _payoutsFrom(0, 0));
        _vault.claim(ALICE);
        VM.warp(START + 3 days);
        _finalise();
    }

    function testFrozenStandsForGood() external {
        _deposit(ALICE, 1000);
        _settle(3, 10);
        _commit(0);
        Statement memory statement = _statement(2);
        _freeze();
        bytes memory frozen = abi.encodeWithSelector(Rollup.IsFrozen.selector);
        _commitRefused(3, CHAIN, _now(), "", frozen);
        _blobsRefused(new IRollup.Blob[](0), frozen);
        _finaliseRefused(statement, frozen);
        _removeRefused(2, frozen);
        VM.prank(address(_council));
        VM.expectRevert(frozen);
        _rollup.setOperator(BOB);
        VM.prank(address(_escape));
        VM.expectRevert(frozen);
        _rollup.freeze();
        // What was final is paid still.
        _pay(0, _payoutsFrom(0, 0));
        _vault.claim(ALICE);
    }

    function testOnlyTheCouncilReplaces() external {
        bytes memory wrong = abi.encodeWithSelector(Rollup.NotAllowed.selector, OPERATOR);
        VM.prank(OPERATOR);
        VM.expectRevert(wrong);
        _rollup.setOperator(BOB);
        VM.prank(OPERATOR);
        VM.expectRevert(wrong);
        _rollup.setVerifier(IVerifier(BOB), 0);
        VM.prank(OPERATOR);
        VM.expectRevert(wrong);
        _rollup.freeze();
    }
}
