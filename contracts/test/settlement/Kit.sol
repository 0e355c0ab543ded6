// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Statement} from "../../src/FinalVerifier.sol";
import {ICouncil, IEscape, IInbox, IRollup, IVault} from "../../src/Settlement.sol";
import {Account, Bridge, Market, System} from "../../src/StateTree.sol";
import {StateReader} from "../../src/StateReader.sol";
import {Council} from "../../src/Council.sol";
import {Escape} from "../../src/Escape.sol";
import {Inbox} from "../../src/Inbox.sol";
import {IVerifier, Rollup} from "../../src/Rollup.sol";
import {Vault} from "../../src/Vault.sol";
import {Cells} from "../../src/Cells.sol";
import {compress} from "../../src/Poseidon2.sol";

/// @dev The cheat codes of forge that these tests use.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function assume(bool condition) external pure;
    function blobhashes(bytes32[] calldata hashes) external;
    function chainId(uint256 id) external;
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function cool(address target) external;
    function deal(address account, uint256 balance) external;
    function etch(address target, bytes calldata code) external;
    function expectEmit(address emitter) external;
    function expectPartialRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    /// @dev (The compiler takes the other one for the same in all of a call.)
    function getBlockTimestamp() external view returns (uint256 time);
    function getCode(string calldata artifact) external view returns (bytes memory code);
    function getNonce(address account) external view returns (uint64 nonce);
    function getRecordedLogs() external returns (Log[] memory logs);
    function load(address target, bytes32 slot) external view returns (bytes32 data);
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
    function parseJsonBytes32Array(string calldata json, string calldata key) external pure returns (bytes32[] memory);
    function parseJsonBytesArray(string calldata json, string calldata key) external pure returns (bytes[] memory);
    function parseJsonInt(string calldata json, string calldata key) external pure returns (int256);
    function parseJsonIntArray(string calldata json, string calldata key) external pure returns (int256[] memory);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonUintArray(string calldata json, string calldata key) external pure returns (uint256[] memory);
    function prank(address sender) external;
    function readFile(string calldata path) external view returns (string memory);
    function recordLogs() external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function toString(uint256 value) external pure returns (string memory);
    function warp(uint256 time) external;
}

Vm constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

/// @dev A token that does as it should.
contract Token {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external virtual returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    /// @dev Everybody approves everything.
    function transferFrom(address from, address to, uint256 amount) external virtual returns (bool) {
        _move(from, to, amount);
        return true;
    }

    function _move(address from, address to, uint256 amount) internal virtual {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Takes one unit of everything that it moves.
contract FeeToken is Token {
    function _move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - 1;
    }
}

/// @dev Takes one unit more from the sender than it should.
contract GreedyToken is Token {
    bool public greedy;

    function set(bool greedy_) external {
        greedy = greedy_;
    }

    function _move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= greedy ? amount + 1 : amount;
        balanceOf[to] += amount;
    }
}

/// @dev Says that it did nothing, when it is told to say so.
contract FalseToken is Token {
    bool public refuses;

    function set(bool refuses_) external {
        refuses = refuses_;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        if (!refuses) _move(msg.sender, to, amount);
        return !refuses;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        if (!refuses) _move(from, to, amount);
        return !refuses;
    }
}

/// @dev Says nothing.
contract SilentToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Calls somebody before it moves anything.
contract CallingToken is Token {
    address public target;
    bytes public data;
    /// What the call reverted with.
    bytes public answer;
    bool public done;

    function set(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function _move(address from, address to, uint256 amount) internal override {
        if (target != address(0)) (done, answer) = target.call(data);
        super._move(from, to, amount);
    }
}

/// @dev Stands in for the verifier: every proof says what the test has set.
contract Verifier {
    Statement private _statement;

    function set(Statement calldata statement) external {
        _statement = statement;
    }

    function verify(bytes calldata) external view returns (Statement memory) {
        return _statement;
    }
}

/// @dev Stands in for the reader: an opening is what it says, under any root.
contract Reader {
    function readAccount(bytes32, uint256, bytes calldata opening) external pure returns (Account memory) {
        return abi.decode(opening, (Account));
    }

    function readSystem(bytes32, bytes calldata opening) external pure returns (System memory) {
        return abi.decode(opening, (System));
    }

    /// @dev (Of the nine words of `Kit._opened`.)
    function readBridge(bytes32, bytes calldata opening) external pure returns (Bridge memory bridge) {
        uint256[9] memory words = abi.decode(opening, (uint256[9]));
        (bridge.inboxCount, bridge.inboxHead) = _session(words[2], words[3]);
        (bridge.payoutCount, bridge.payoutHead) = _session(words[6], words[7]);
    }

    function _session(uint256 third, uint256 fourth) private pure returns (uint256 sequence, bytes32 head) {
        return ((third >> 64) & type(uint32).max, bytes32((third << 192) | (fourth >> 64)));
    }

    function readDeployment(bytes32, bytes calldata opening) external pure returns (bytes32) {
        return abi.decode(opening, (bytes32));
    }

    function readMarkets(bytes32, uint256, bytes calldata opening) external pure returns (Market[] memory) {
        return abi.decode(opening, (Market[]));
    }
}

/// @dev A venue with stand-ins for verifier and reader, and what a test does with it.
abstract contract Kit {
    uint256 internal constant START = 1_700_000_000;
    uint256 internal constant CAP = 1 << 90;
    uint256 internal constant FEE = 1000;
    uint256 internal constant DEPOSIT_MIN = 100;
    bytes32 internal constant GENESIS = bytes32(uint256(1));
    bytes32 internal constant SEGMENT_KEY = bytes32(uint256(0x5e9));
    address internal constant OPERATOR = address(0x0be7a7);
    address internal constant ALICE = address(0xa11ce);
    address internal constant BOB = address(0xb0b);
    /// @dev Owner of account 0, and of account 2; there is no account 1.
    address internal constant HOUSE = address(0x40);
    address internal constant ORACLE = address(0x04ac1e);

    Token internal _token;
    Verifier internal _verifier;
    StateReader internal _reader;
    Vault internal _vault;
    Inbox internal _inbox;
    Rollup internal _rollup;
    Escape internal _escape;
    Council internal _council;

    /// @dev The payouts' chain: heads[n] after n payouts.
    bytes32[] internal _payoutHeads;
    IRollup.Payout[] internal _payouts;

    function setUp() public virtual {
        VM.warp(START);
        _token = new Token();
        _deploy(address(_token), address(new Reader()), GENESIS);
        _fund(ALICE);
        _fund(BOB);
        _fund(HOUSE);
    }

    function _fund(address who) internal {
        _token.mint(who, 1 << 92);
        VM.deal(who, 1 ether);
    }

    /// @dev (By their code, so that not every test contains it.)
    function _create(string memory artifact, bytes memory arguments) internal returns (address made) {
        bytes memory code = abi.encodePacked(VM.getCode(artifact), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
            if iszero(made) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    function _later(uint256 places) internal view returns (address) {
        return VM.computeCreateAddress(address(this), VM.getNonce(address(this)) + places);
    }

    function _genesisOwners() internal pure virtual returns (address[] memory owners) {
        owners = new address[](3);
        (owners[0], owners[2]) = (HOUSE, ORACLE);
    }

    function _genesis(bytes32 root) internal view virtual returns (Rollup.Genesis memory genesis) {
        System memory system;
        (system.time, system.registrar) = (START * 1000, Cells.BRIDGE);
        bytes32 head = _inbox.headAt(0);
        bytes memory bridge = _opened(Bridge(0, head, 0, 0));
        return Rollup.Genesis(root, abi.encode(_inbox.domain()), abi.encode(system), bridge);
    }

    /// @dev Where the vault is.
    function _placed(Vault made) internal virtual returns (Vault) {
        return made;
    }

    function _deploy(address token, address reader, bytes32 root) internal {
        _reader = StateReader(reader);
        _verifier = new Verifier();
        address rollup = _later(2);
        address escape = _later(3);
        address council = _later(4);
        _vault = _placed(Vault(_create("Vault.sol:Vault", abi.encode(token, CAP, _later(1), rollup, escape))));
        bytes memory arguments = abi.encode(_vault, rollup, council, FEE, DEPOSIT_MIN, _genesisOwners());
        _inbox = Inbox(_create("Inbox.sol:Inbox", arguments));
        Rollup.Parts memory parts = Rollup.Parts(
            IVault(_vault),
            IInbox(_inbox),
            IEscape(escape),
            ICouncil(council),
            _reader,
            IVerifier(address(_verifier)),
            SEGMENT_KEY,
            OPERATOR
        );
        _rollup = Rollup(_create("Rollup.sol:Rollup", abi.encode(parts, _genesis(root))));
        _escape = Escape(_create("Escape.sol:Escape", abi.encode(_vault, _inbox, _rollup, _reader)));
        _council = Council(_create("Council.sol:Council", abi.encode(_rollup, _members())));
        require(address(_rollup) == rollup && address(_escape) == escape && address(_council) == council, "addresses");
        _payoutHeads.push(0);
    }

    function _members() internal pure returns (address[12] memory members) {
        for (uint256 i = 0; i < 12; i++) {
            members[i] = _member(i);
        }
    }

    function _member(uint256 i) internal pure returns (address) {
        return address(uint160(0xc0 + i));
    }

    function _deposit(address who, uint256 amount) internal returns (uint256 account) {
        uint256 fee = FEE * (_inbox.hasAccount(who) ? 1 : 2);
        VM.prank(who);
        account = _inbox.deposit{value: fee}(amount);
    }

    function _now() internal view returns (uint64) {
        return uint64(VM.getBlockTimestamp() * 1000);
    }

    function _chain(uint256 batch) internal pure returns (bytes32) {
        return bytes32(batch << 224);
    }

    /// @dev Commits the next batch, with as many words.
    function _commit(uint256 words) internal returns (uint256 batch) {
        batch = _rollup.batchCommitted() + 1;
        bytes memory data = new bytes(30 * words);
        if (words > 0) data[0] = 0x01;
        VM.prank(OPERATOR);
        _rollup.commit(batch, _chain(batch), _now(), data);
    }

    /// @dev Another payout, which the venue has made.
    function _payout(uint256 account, uint256 amount) internal {
        uint256 index = _payouts.length;
        bytes32 before = _payoutHeads[index];
        _payouts.push(IRollup.Payout(account, amount, before));
        _payoutHeads.push(Cells.absorb(before, Cells.payout(account, amount), index));
    }

    /// @dev What a proof of all batches up to this one says.
    function _statement(uint256 last) internal view returns (Statement memory statement) {
        bytes32 data = 0;
        uint256 first = _rollup.batchFinal() + 1;
        for (uint256 batch = first; batch <= last; batch++) {
            (bytes32 digest,,) = _rollup.batches(batch);
            data = compress(data, digest);
        }
        (, uint64 time,) = _rollup.batches(last);
        statement = Statement({
            rootOld: _rollup.root(),
            rootNew: bytes32(last + 1),
            batchFirst: uint32(first),
            batchLast: uint32(last),
            timeStart: _rollup.timeFinal(),
            timeEnd: time,
            data: data,
            segmentKey: SEGMENT_KEY
        });
    }

    /// @dev The opening of a state that has consumed so much, and made all payouts.
    function _bridge(uint256 consumed) internal view returns (bytes memory) {
        return _opened(Bridge(consumed, _inbox.headAt(consumed), _payouts.length, _payoutHeads[_payouts.length]));
    }

    /// @dev An opening of the bridge's slots as the tree has them, up to the first sibling.
    function _opened(Bridge memory bridge) internal pure returns (bytes memory) {
        uint256[9] memory words;
        (words[0], words[1]) = (1 << 224, 1);
        words[2] = (0x3fff << 224) | (0x3fff << 192) | (0x3fff << 160) | (1 << 96);
        words[2] |= (bridge.inboxCount << 64) | (uint256(bridge.inboxHead) >> 192);
        words[3] = uint256(bridge.inboxHead) << 64;
        words[6] = (bridge.payoutCount << 64) | (uint256(bridge.payoutHead) >> 192);
        words[7] = uint256(bridge.payoutHead) << 64;
        bytes32 empty = compress(0, 0);
        empty = compress(empty, empty);
        words[8] = uint256(compress(empty, empty));
        return abi.encode(words);
    }

    /// @dev Makes all committed batches final; they have consumed everything.
    function _finalise() internal {
        _finalise(_inbox.count());
    }

    function _finalise(uint256 consumed) internal {
        _verifier.set(_statement(_rollup.batchCommitted()));
        _rollup.finalise("", _bridge(consumed));
    }

    /// @dev A batch that makes a payout, final; not paid.
    function _settle(uint256 account, uint256 amount) internal {
        _payout(account, amount);
        _commit(0);
        _finalise();
    }

    /// @dev Payouts of a run from the last unpaid one down to this one.
    function _payoutsFrom(uint256 run, uint256 first) internal view returns (IRollup.Payout[] memory payouts) {
        (, uint256 to,) = _rollup.unpaid(run);
        payouts = new IRollup.Payout[](to - first);
        for (uint256 i = 0; i < payouts.length; i++) {
            payouts[i] = _payouts[to - 1 - i];
        }
    }

    /// @dev Pays these, the first of which is its run's last unpaid one.
    function _pay(uint256 run, IRollup.Payout[] memory payouts) internal {
        (, uint256 end,) = _rollup.unpaid(run);
        _rollup.pay(run, end, payouts);
    }

    function _freeze() internal {
        VM.warp(_rollup.finalSince() + 7 days + 1);
        _escape.freeze();
    }

    /// @dev Nine of twelve want it.
    function _propose(address target, bytes memory data) internal returns (uint256 id) {
        VM.prank(_member(0));
        id = _council.propose(target, data);
        for (uint256 i = 1; i < 9; i++) {
            VM.prank(_member(i));
            _council.approve(id);
        }
    }

    function _pause(uint256 time) internal {
        _council.execute(_propose(address(_council), abi.encodeCall(Council.pause, (time))));
    }

    function _cold() internal {
        address[7] memory all = [
            address(_vault),
            address(_inbox),
            address(_rollup),
            address(_escape),
            address(_council),
            address(_token),
            address(_reader)
        ];
        for (uint256 i = 0; i < all.length; i++) {
            VM.cool(all[i]);
        }
    }

    function _log(string memory what, uint256 value) internal view {
        bytes memory line = abi.encodeWithSignature("log(string,uint256)", what, value);
        (bool fine,) = 0x000000000000000000636F6e736F6c652e6c6f67.staticcall(line);
        require(fine, "log");
    }

    function _eq(uint256 got, uint256 expected, string memory what) internal pure {
        if (got != expected) {
            revert(string.concat(what, ": ", VM.toString(got), ", not ", VM.toString(expected)));
        }
    }

    function _eq(bytes32 got, bytes32 expected, string memory what) internal pure {
        _eq(uint256(got), uint256(expected), what);
    }

    function _eq(address got, address expected, string memory what) internal pure {
        _eq(uint160(got), uint160(expected), what);
    }
}
