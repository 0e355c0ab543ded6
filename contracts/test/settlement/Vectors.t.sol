// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cells} from "../../src/Cells.sol";
import {Escape} from "../../src/Escape.sol";
import {Inbox} from "../../src/Inbox.sol";
import {Rollup} from "../../src/Rollup.sol";
import {ICouncil, IRollup, IVault} from "../../src/Settlement.sol";
import {Statement} from "../../src/FinalVerifier.sol";
import {RootWrong} from "../../src/StateTree.sol";
import {compress} from "../../src/Poseidon2.sol";
import {Vault} from "../../src/Vault.sol";
import {Kit, VM, Vm} from "./Kit.sol";

/// @dev A vault that takes everything, and a council that never pauses.
contract Agreeable {
    fallback(bytes calldata) external returns (bytes memory) {
        return abi.encode(false);
    }
}

/// @dev What `exchange/tests/settlement.rs` says of the same things.
contract VectorsTest is Kit {
    address private constant OWNER = 0x0123456789ABCDEf0FEdCBa9876543210f1E2d3C;
    string private _json;
    bool private _elsewhere;
    /// @dev A byte of the bridge's opening that is another in the genesis; or none.
    uint256[] private _changed;

    function setUp() public override {
        super.setUp();
        _json = VM.readFile("test/vectors/settlement.json");
    }

    function _word(string memory key) private view returns (bytes32) {
        return VM.parseJsonBytes32(_json, key);
    }

    function _bytes(string memory key) private view returns (bytes memory) {
        return VM.parseJsonBytes(_json, key);
    }

    function _uint(string memory key) private view returns (uint256) {
        return VM.parseJsonUint(_json, key);
    }

    function _coordinate(string memory key) private view returns (uint32[7] memory cells) {
        uint256[] memory list = VM.parseJsonUintArray(_json, key);
        for (uint256 i = 0; i < 7; i++) {
            cells[i] = uint32(list[i]);
        }
    }

    /// @dev The vectors' entries, of which the first call makes two.
    function _calls() private view returns (bytes[9] memory calls) {
        uint32[7] memory x = _coordinate(".inbox.x");
        uint32[7] memory y = _coordinate(".inbox.y");
        uint64 expiry = uint64(_uint(".inbox.expiry"));
        calls = [
            abi.encodeCall(Inbox.deposit, (5_000_000)),
            abi.encodeCall(Inbox.withdraw, ((1 << 80) - 1)),
            abi.encodeCall(Inbox.close, (3, true, (1 << 32) - 1, (1 << 40) - 1)),
            abi.encodeCall(Inbox.close, (255, false, 1, 1)),
            abi.encodeCall(Inbox.cancelAll, (254)),
            abi.encodeCall(Inbox.register, (1, false, true, expiry, x, y)),
            abi.encodeCall(Inbox.register, (3, true, false, expiry, x, y)),
            abi.encodeCall(Inbox.revoke, (2)),
            abi.encodeCall(Inbox.deposit, ((1 << 80) - 1))
        ];
    }

    function testTheInboxsHeads() external {
        VM.chainId(_uint(".chain_id"));
        address vault = VM.parseJsonAddress(_json, ".vault");
        address agreeable = address(new Agreeable());
        VM.etch(vault, agreeable.code);
        Inbox inbox = new Inbox(IVault(vault), IRollup(agreeable), ICouncil(agreeable), 0, 1, new address[](3));
        bytes32[] memory heads = VM.parseJsonBytes32Array(_json, ".inbox.heads");
        address owner = VM.parseJsonAddress(_json, ".inbox.owner");
        _eq(inbox.domain(), _word(".inbox.domain"), "domain");
        bytes[9] memory calls = _calls();
        VM.recordLogs();
        for (uint256 i = 0; i < calls.length; i++) {
            VM.prank(owner);
            (bool fine,) = address(inbox).call(calls[i]);
            require(fine, "it is appended");
        }
        _eq(inbox.count(), heads.length - 1, "entries");
        for (uint256 i = 0; i < heads.length; i++) {
            _eq(inbox.headAt(i), heads[i], string.concat("head ", VM.toString(i)));
        }
        // Whoever reads the events alone comes to the same heads.
        Vm.Log[] memory logs = VM.getRecordedLogs();
        bytes32 head = heads[0];
        for (uint256 i = 0; i < logs.length; i++) {
            bytes32[] memory blocks = abi.decode(logs[i].data, (bytes32[]));
            for (uint256 b = 0; b < blocks.length; b++) {
                head = compress(head, b == 0 ? blocks[0] | bytes32(i) : blocks[b]);
            }
            _eq(head, heads[i + 1], "head of the events");
        }
    }

    function testTheBatchesDigests() external {
        VM.warp(1_700_000_000);
        bytes32 data = 0;
        for (uint256 i = 0; i < 3; i++) {
            string memory key = string.concat(".batches.list[", VM.toString(i), "]");
            uint64 time = uint64(_uint(string.concat(key, ".time")));
            VM.warp(time / 1000);
            bytes32 digest = _word(string.concat(key, ".digest"));
            bytes memory words = _bytes(string.concat(key, ".words"));
            bytes32 chain = _word(string.concat(key, ".chain"));
            VM.expectEmit(address(_rollup));
            emit IRollup.Committed(1, chain, _word(string.concat(key, ".commitment")), digest, time, 0);
            VM.prank(OPERATOR);
            _rollup.commit(1, chain, time, words);
            data = compress(data, digest);
            // Each by itself: their times are not in order.
            VM.store(address(_rollup), bytes32(uint256(6)), 0);
            _eq(_rollup.batchCommitted(), 0, "removed");
        }
        _eq(data, _word(".batches.data"), "data");
    }

    function testThePayoutsHeads() external view {
        uint256[] memory accounts = VM.parseJsonUintArray(_json, ".payouts.accounts");
        uint256[] memory amounts = VM.parseJsonUintArray(_json, ".payouts.amounts");
        bytes32[] memory heads = VM.parseJsonBytes32Array(_json, ".payouts.heads");
        for (uint256 i = 0; i < accounts.length; i++) {
            _eq(Cells.absorb(heads[i], Cells.payout(accounts[i], amounts[i]), i), heads[i + 1], "head");
        }
    }

    function _genesis(bytes32 root) internal view override returns (Rollup.Genesis memory genesis) {
        if (root == GENESIS) return super._genesis(root);
        genesis.root = root;
        genesis.deployment = _bytes(".state.genesis.deployment");
        genesis.system = _bytes(".state.genesis.system");
        genesis.bridge = _bytes(".state.genesis.bridge");
        if (_changed.length > 0) _change(genesis, _changed[0]);
    }

    /// @dev At the address that the genesis has.
    function _placed(Vault made) internal override returns (Vault) {
        if (!_elsewhere) return made;
        address vault = VM.parseJsonAddress(_json, ".vault");
        VM.etch(vault, address(made).code);
        return Vault(vault);
    }

    /// @dev For calls that fail.
    function deploy() external {
        VM.chainId(_uint(".chain_id"));
        VM.warp(_uint(".state.genesis.time") / 1000);
        _deploy(address(_token), _create("StateReader.sol:StateReader", ""), _word(".state.genesis.root"));
    }

    function testAGenesisOfAnotherVault() external {
        VM.expectRevert(abi.encodeWithSelector(Rollup.GenesisWrong.selector));
        this.deploy();
    }

    /// @dev The genesis with other bits in the bridge's slots or beside them, and with the root and the openings that such a state has: each is refused for what it is, and not for its openings.
    function testAGenesisWithAUsedBridge() external {
        _elsewhere = true;
        _changed = new uint256[](0);
        this.deploy();
        // Of the inbox: live, a cell of its key, withdraws, expiry, unsealed, generation, number, head; of the payouts the same, from 128 bytes on; and of the keys beside them.
        uint16[18] memory bytes_ =
            [uint16(3), 7, 63, 67, 75, 79, 83, 87, 91, 99, 131, 135, 191, 203, 207, 211, 215, 223];
        for (uint256 i = 0; i < bytes_.length; i++) {
            _genesisRefused(bytes_[i]);
        }
        for (uint256 leaf = 0; leaf < 9; leaf++) {
            _genesisRefused(32 * leaf + 3);
        }
    }

    function _genesisRefused(uint256 place) private {
        _changed = new uint256[](1);
        _changed[0] = place;
        VM.expectRevert(abi.encodeWithSelector(Rollup.GenesisWrong.selector));
        this.deploy();
    }

    /// @dev With one bit less or more at a place of the bridge's opening. What the other openings have of it is their last sibling, the upper half of the tree.
    function _change(Rollup.Genesis memory genesis, uint256 place) private pure {
        bytes memory bridge = genesis.bridge;
        bridge[place] ^= 0x01;
        bytes32[8] memory leaves = abi.decode(bridge, (bytes32[8]));
        bytes32 inbox = compress(compress(leaves[0], leaves[1]), compress(leaves[2], leaves[3]));
        bytes32 payouts = compress(compress(leaves[4], leaves[5]), compress(leaves[6], leaves[7]));
        bytes32 node = compress(inbox, payouts);
        uint256 index = ((1 << 27) + ((1 << 20) - 1) * 128 + 16) >> 3;
        for (uint256 level = 0; level < 25; level++) {
            bytes32 sibling = _wordAt(bridge, 256 + 32 * level);
            if (level == 24) {
                _put(genesis.deployment, node);
                _put(genesis.system, node);
            }
            node = index & 1 == 1 ? compress(sibling, node) : compress(node, sibling);
            index >>= 1;
        }
        genesis.root = node;
    }

    function _wordAt(bytes memory data, uint256 place) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), place))
        }
    }

    /// @dev Puts the last word.
    function _put(bytes memory data, bytes32 word) private pure {
        assembly ("memory-safe") {
            mstore(add(data, mload(data)), word)
        }
    }

    /// @dev All that the vectors have, in one venue: entries, a batch with payouts, the freeze, debts and exits. Only the proof is not there.
    function testTheWholeWay() external {
        _elsewhere = true;
        this.deploy();
        _fund(OWNER);
        bytes[9] memory calls = _calls();
        for (uint256 i = 0; i < calls.length; i++) {
            VM.prank(OWNER);
            (bool fine,) = address(_inbox).call{value: i == 0 ? 2 * FEE : FEE}(calls[i]);
            require(fine, "it is appended");
        }
        _commit(0);
        Statement memory statement = _statement(1);
        statement.rootNew = _word(".state.root");
        _verifier.set(statement);
        bytes memory opening = _bytes(".state.bridge");
        bytes memory changed = _bytes(".state.bridge");
        changed[300] ^= 0x01;
        VM.expectPartialRevert(RootWrong.selector);
        _rollup.finalise("", changed);
        VM.expectPartialRevert(RootWrong.selector);
        _rollup.finalise("", _bytes(".state.genesis.bridge"));
        _cold();
        uint256 gas = gasleft();
        _rollup.finalise("", opening);
        _log("finalise, 1 batch", gas - gasleft());
        _eq(_rollup.inboxConsumed(), 10, "consumed");
        _payAll();
        _leave();
    }

    function _payAll() private {
        uint256[] memory accounts = VM.parseJsonUintArray(_json, ".payouts.accounts");
        uint256[] memory amounts = VM.parseJsonUintArray(_json, ".payouts.amounts");
        bytes32[] memory heads = VM.parseJsonBytes32Array(_json, ".payouts.heads");
        uint256 count = accounts.length;
        _eq(_rollup.payoutCount(), count, "payouts");
        IRollup.Payout[] memory payouts = new IRollup.Payout[](count);
        uint256 sum = 0;
        for (uint256 i = 0; i < count; i++) {
            payouts[count - 1 - i] = IRollup.Payout(accounts[i], amounts[i], heads[i]);
            sum += amounts[i];
        }
        _rollup.pay(0, count, payouts);
        _eq(_vault.claimableTotal(), sum, "paid");
    }

    function _leave() private {
        _freeze();
        uint256 deposits = _uint(".state.deposits");
        uint256[] memory accounts = VM.parseJsonUintArray(_json, ".state.accounts");
        bytes[] memory openings = VM.parseJsonBytesArray(_json, ".state.openings");
        VM.expectRevert(abi.encodeWithSelector(Escape.MarketMissing.selector, 0));
        _escape.showDebt(accounts[1], openings[1]);
        _escape.record(_bytes(".state.system"), (1 << 0) | (1 << 1) | (1 << 200), _bytes(".state.markets"));
        _eq(_escape.deposits(), deposits, "D");
        uint256[] memory marks = VM.parseJsonUintArray(_json, ".state.marks");
        uint256[] memory ids = VM.parseJsonUintArray(_json, ".state.market_ids");
        for (uint256 i = 0; i < ids.length; i++) {
            _eq(_escape.markOf(ids[i]), marks[i], "mark");
        }
        int256[] memory equities = new int256[](accounts.length);
        uint256 debt = 0;
        for (uint256 i = 0; i < accounts.length; i++) {
            equities[i] = VM.parseJsonInt(_json, string.concat(".state.equities[", VM.toString(i), "]"));
            if (equities[i] >= 0) continue;
            _escape.showDebt(accounts[i], openings[i]);
            debt += uint256(-equities[i]);
        }
        _eq(_escape.debt(), debt, "B");
        VM.warp(_escape.frozenAt() + 3 days);
        uint256 paid = 0;
        for (uint256 i = 0; i < accounts.length; i++) {
            if (equities[i] < 0) {
                VM.expectRevert(abi.encodeWithSelector(Escape.NothingThere.selector, accounts[i]));
                _escape.exit(accounts[i], openings[i]);
                continue;
            }
            uint256 expected = uint256(equities[i]) * deposits / (deposits + debt);
            _cold();
            uint256 gas = gasleft();
            _eq(_escape.exit(accounts[i], openings[i]), expected, "exit");
            _log(string.concat("exit, an opening of ", VM.toString(openings[i].length)), gas - gasleft());
            address owner = address(uint160(accounts[i] * (type(uint160).max / 255)));
            _eq(_vault.claimable(owner), expected, "claimable");
            paid += expected;
        }
        require(paid <= deposits && deposits - paid < 3, "all but what rounding leaves");
        // Somebody else's opening, and an account that is nobody's.
        VM.expectPartialRevert(RootWrong.selector);
        _escape.exit(12, openings[0]);
        VM.expectRevert(abi.encodeWithSelector(Escape.NothingThere.selector, 12));
        _escape.exit(12, _bytes(".state.stranger"));
    }
}
