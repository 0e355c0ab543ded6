// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cells} from "./Cells.sol";
import {Statement} from "./FinalVerifier.sol";
import {compress} from "./Poseidon2.sol";
import {Published} from "./Published.sol";
import {ICouncil, IEscape, IInbox, IRollup, IVault} from "./Settlement.sol";
import {StateReader} from "./StateReader.sol";
import {Bridge, System} from "./StateTree.sol";

/// @title A verifier of last proofs: `FinalVerifier`, or what takes its place.
interface IVerifier {
    function verify(bytes calldata proof) external view returns (Statement memory statement);
}

/// @title The venue's batches.
/// @notice The operator commits them with their data; a proof makes them final.
contract Rollup is IRollup {
    /// @notice How far a batch's time may be ahead of Ethereum's, and how far behind, in seconds.
    uint256 public constant TIME_AHEAD = 900;
    uint256 public constant TIME_BEHIND = 24 hours;
    /// @notice Entries that were this old when the last batch was committed must have been consumed.
    uint256 public constant SERVICE_TIME = 24 hours;
    /// @notice How long the operator can take back a batch that it has committed: longer than a reorganisation after which it has to, or a prover that finds that it cannot be proven.
    uint256 public constant RECALL_TIME = 6 hours;
    /// @notice How long a committed batch may wait for its proof, not counting the last pause: long enough for any prover, and short enough that others can take the place of
    /// batches that nobody can prove before the venue may be frozen.
    uint256 public constant PROOF_WINDOW = 3 days;
    /// @notice Payouts that can become final at once, beside one for each entry of the inbox that is consumed: whoever is behind all the others of a run has them paid first, so that this bounds what it
    /// costs. (Entries cost who appends them more than who passes their payouts; and as they have to be consumed, a bound of theirs could be made to stop the venue.)
    uint256 public constant RUN_MAX = 1024;
    uint256 private constant MILLISECONDS = 1000;
    uint256 private constant ACCOUNTS = 1 << 20;
    /// @dev Three cells of 28 bits.
    uint256 private constant PAYOUT_END = 1 << 84;
    /// @dev `sequence` in the state has 30 bits.
    uint256 private constant PAYOUTS_MAX = (1 << 30) - 1;
    /// @dev The venue's last moment: three limbs of 14 bits.
    uint256 private constant LIMB = (1 << 14) - 1;

    struct Parts {
        IVault vault;
        IInbox inbox;
        IEscape escape;
        ICouncil council;
        StateReader reader;
        IVerifier verifier;
        bytes32 segmentKey;
        address operator;
    }

    /// @dev The genesis: its root, and openings of what has to be right in it.
    struct Genesis {
        bytes32 root;
        bytes deployment;
        bytes system;
        bytes bridge;
    }

    struct Batch {
        bytes32 digest;
        uint64 time;
        uint64 committedAt;
    }

    /// @dev Payouts `from` to `to - 1` of those that became final at once are unpaid; `head` is that after the last of them, 0 if none is.
    struct Run {
        uint64 from;
        uint64 to;
        bytes32 head;
    }

    IVault public immutable vault;
    IInbox public immutable inbox;
    IEscape public immutable escape;
    ICouncil public immutable council;
    StateReader public immutable reader;

    IVerifier public verifier;
    bytes32 public segmentKey;
    address public operator;

    bytes32 public root;
    bool public frozen;
    /// @notice At the end of the last final batch, in milliseconds.
    uint64 public timeFinal;
    uint256 public batchFinal;
    uint256 public batchCommitted;
    uint256 public inboxConsumed;
    uint256 public finalSince;
    /// @notice Payouts under the final root, paid or not, and their chain's head.
    uint256 public payoutCount;
    bytes32 public payoutHead;
    mapping(uint256 batch => Batch) public batches;
    Run[] private _runs;

    event VerifierSet(address indexed verifier, bytes32 segmentKey);
    event OperatorSet(address indexed operator);

    error ZeroAddress();
    error NotAllowed(address caller);
    error IsPaused();
    error IsFrozen();
    error GenesisWrong();
    /// @notice There is no code at the verifier's address.
    error NoVerifier(address verifier);
    error BatchWrong(uint256 expected, uint256 got);
    /// @notice Milliseconds: earlier or later than a batch that is committed now may end.
    error TimeRange(uint256 earliest, uint256 latest, uint256 got);
    error RootOldWrong(bytes32 expected, bytes32 got);
    /// @notice The proof's last batch is before its first, or not committed.
    error NotCommitted(uint256 batch);
    error TimeWrong(uint256 expected, uint256 got);
    error DataWrong(bytes32 expected, bytes32 got);
    error SegmentKeyWrong(bytes32 expected, bytes32 got);
    /// @notice The state has consumed fewer entries than before, or more than there are.
    error InboxRange(uint256 got);
    error InboxHeadWrong(bytes32 expected, bytes32 got);
    /// @notice This entry was due.
    error EntryLeftOut(uint256 index);
    /// @notice There are fewer payouts than before, or another chain of as many; or more than there can be.
    error PayoutsWrong(uint256 got);
    /// @notice More payouts than can become final at once.
    error RunTooLong(uint256 most, uint256 got);
    /// @notice It is final, or not committed.
    error NothingToRemove(uint256 batch);
    /// @notice It cannot be taken back any more, and its proof may still come.
    error TooEarly(uint256 notBefore);
    error NoRun(uint256 run, uint256 runs);
    /// @notice All of this run is paid.
    error NothingToPay(uint256 run);
    /// @notice It is not the last unpaid payout of its run.
    error PayoutWrong(uint256 index);

    modifier running() {
        require(!frozen, IsFrozen());
        require(!council.paused(), IsPaused());
        _;
    }

    modifier onlyOperator() {
        require(msg.sender == operator, NotAllowed(msg.sender));
        _;
    }

    modifier onlyCouncil() {
        require(msg.sender == address(council), NotAllowed(msg.sender));
        require(!frozen, IsFrozen());
        _;
    }

    /// @dev The inbox and the reader are there already. The genesis must be this vault's, and hold nothing that the vault does not.
    constructor(Parts memory parts, Genesis memory genesis) {
        require(address(parts.vault) != address(0) && address(parts.escape) != address(0), ZeroAddress());
        require(address(parts.council) != address(0), ZeroAddress());
        vault = parts.vault;
        inbox = parts.inbox;
        escape = parts.escape;
        council = parts.council;
        reader = parts.reader;
        _setVerifier(parts.verifier, parts.segmentKey);
        _setOperator(parts.operator);

        bytes32 root_ = genesis.root;
        System memory system = parts.reader.readSystem(root_, genesis.system);
        parts.reader.readBridge(root_, genesis.bridge);
        bytes32 domain = parts.reader.readDeployment(root_, genesis.deployment);
        require(address(parts.inbox.vault()) == address(parts.vault) && domain == parts.inbox.domain(), GenesisWrong());
        require(system.registrar == Cells.BRIDGE, GenesisWrong());
        require(system.time <= (block.timestamp + TIME_AHEAD) * MILLISECONDS, GenesisWrong());
        require(system.deposits == 0 && system.batches == 0 && system.unsealed == 0, GenesisWrong());
        _checkBridge(genesis.bridge, parts.inbox.headAt(0));
        (root, timeFinal, finalSince) = (root_, uint64(system.time), block.timestamp);
    }

    /// @inheritdoc IRollup
    function commit(uint256 batch, bytes32 chain, uint64 time, bytes calldata words) external onlyOperator running {
        Cells.requireDigest(chain);
        bytes32 commitment = keccak256(words);
        uint256 z = Published.point(commitment, chain);
        bytes32 digest = Published.digest(chain, z, Published.evaluate(words, z), time);
        _store(batch, digest, time);
        emit Committed(batch, chain, commitment, digest, time, 0);
    }

    /// @inheritdoc IRollup
    function commitBlobs(uint256 batch, bytes32 chain, uint64 time, Blob[] calldata blobs)
        external
        onlyOperator
        running
    {
        Cells.requireDigest(chain);
        bytes32[] memory hashes = Published.blobHashes(blobs.length);
        bytes32 commitment = keccak256(abi.encodePacked(hashes));
        uint256 z = Published.point(commitment, chain);
        bytes32 digest = Published.digest(chain, z, _blobsValue(blobs, hashes, z), time);
        _store(batch, digest, time);
        emit Committed(batch, chain, commitment, digest, time, blobs.length);
    }

    /// @inheritdoc IRollup
    function finalise(bytes calldata proof, bytes calldata opening) external running {
        Statement memory statement = verifier.verify(proof);
        uint256 last = statement.batchLast;
        _checkStatement(statement);
        Bridge memory bridge = reader.readBridge(statement.rootNew, opening);
        _checkInbox(bridge, batches[last].committedAt);
        _addPayouts(bridge, RUN_MAX + bridge.inboxCount - inboxConsumed);

        root = statement.rootNew;
        timeFinal = statement.timeEnd;
        batchFinal = last;
        inboxConsumed = bridge.inboxCount;
        finalSince = block.timestamp;
        emit Final(last, statement.rootNew, bridge.inboxCount, bridge.payoutCount);
    }

    /// @inheritdoc IRollup
    /// @dev A pause keeps proofs and batches out, so both times begin again at its end: in a pause, and for six hours after it, whatever is not final can be taken back.
    function remove(uint256 from) external onlyOperator {
        require(!frozen, IsFrozen());
        uint256 last = batchCommitted;
        require(from > batchFinal && from <= last, NothingToRemove(from));
        uint256 since = batches[from].committedAt;
        uint256 pauseEnd = council.pauseEnd();
        if (pauseEnd > since) since = pauseEnd;
        if (block.timestamp > since + RECALL_TIME) {
            require(block.timestamp > since + PROOF_WINDOW, TooEarly(since + PROOF_WINDOW));
        }
        batchCommitted = from - 1;
        emit Removed(from, last);
    }

    /// @inheritdoc IRollup
    function pay(uint256 run, uint256 end, Payout[] calldata payouts) external {
        require(run < _runs.length, NoRun(run, _runs.length));
        // What others have paid since is passed over.
        uint256 to = _runs[run].to;
        for (uint256 i = end > to ? end - to : 0; i < payouts.length; i++) {
            _pay(run, payouts[i]);
        }
    }

    /// @inheritdoc IRollup
    function freeze() external {
        require(msg.sender == address(escape), NotAllowed(msg.sender));
        require(!frozen, IsFrozen());
        frozen = true;
        emit Frozen(batchFinal, root);
    }

    /// @notice Another verifier, for another circuit. Only the council.
    function setVerifier(IVerifier verifier_, bytes32 segmentKey_) external onlyCouncil {
        _setVerifier(verifier_, segmentKey_);
    }

    /// @notice Another operator. Only the council.
    function setOperator(address operator_) external onlyCouncil {
        _setOperator(operator_);
    }

    /// @inheritdoc IRollup
    function runs() external view returns (uint256) {
        return _runs.length;
    }

    /// @inheritdoc IRollup
    function unpaid(uint256 run) external view returns (uint256 from, uint256 to, bytes32 head) {
        require(run < _runs.length, NoRun(run, _runs.length));
        Run storage due = _runs[run];
        return (due.from, due.to, due.head);
    }

    /// @dev The bridge's two slots as a genesis has them: the inbox is live for good, with nobody's key, and has absorbed nothing; the payouts' are empty, and so are those of the bridge's
    /// other two keys, which are the sibling that comes first. (The reader has seen that the opening is of the root.)
    function _checkBridge(bytes memory opening, bytes32 start) private pure {
        bytes32 empty = compress(0, 0);
        empty = compress(empty, empty);
        bytes32[9] memory expected;
        expected[0] = bytes32(uint256(1) << 224);
        expected[1] = bytes32(uint256(1));
        expected[2] = bytes32((LIMB << 224) | (LIMB << 192) | (LIMB << 160) | (1 << 96)) | (start >> 192);
        expected[3] = start << 64;
        expected[8] = compress(empty, empty);
        bytes32[9] memory got = abi.decode(opening, (bytes32[9]));
        require(keccak256(abi.encode(got)) == keccak256(abi.encode(expected)), GenesisWrong());
    }

    function _setVerifier(IVerifier verifier_, bytes32 segmentKey_) private {
        require(address(verifier_).code.length != 0, NoVerifier(address(verifier_)));
        verifier = verifier_;
        segmentKey = segmentKey_;
        emit VerifierSet(address(verifier_), segmentKey_);
    }

    function _setOperator(address operator_) private {
        require(operator_ != address(0), ZeroAddress());
        operator = operator_;
        emit OperatorSet(operator_);
    }

    /// @dev The value of all blobs: Σ y_b z^(4096 b).
    function _blobsValue(Blob[] calldata blobs, bytes32[] memory hashes, uint256 z)
        private
        view
        returns (uint256 value)
    {
        uint256 step = Published.step(z);
        for (uint256 b = blobs.length; b > 0; b--) {
            Blob calldata blob = blobs[b - 1];
            Published.requireValue(b - 1, hashes[b - 1], z, blob.y, blob.commitment, blob.proof);
            value = addmod(mulmod(value, step, Published.R), uint256(blob.y), Published.R);
        }
    }

    function _store(uint256 batch, bytes32 digest, uint64 time) private {
        uint256 expected = batchCommitted + 1;
        require(batch == expected, BatchWrong(expected, batch));
        uint256 earliest = (block.timestamp - TIME_BEHIND) * MILLISECONDS;
        uint256 latest = (block.timestamp + TIME_AHEAD) * MILLISECONDS;
        uint256 former = batch == batchFinal + 1 ? timeFinal : batches[batch - 1].time;
        if (former > earliest) earliest = former;
        require(time >= earliest && time <= latest, TimeRange(earliest, latest, time));
        batches[batch] = Batch(digest, time, uint64(block.timestamp));
        batchCommitted = batch;
    }

    function _checkStatement(Statement memory statement) private view {
        uint256 first = batchFinal + 1;
        uint256 last = statement.batchLast;
        require(statement.rootOld == root, RootOldWrong(root, statement.rootOld));
        require(statement.segmentKey == segmentKey, SegmentKeyWrong(segmentKey, statement.segmentKey));
        require(statement.batchFirst == first, BatchWrong(first, statement.batchFirst));
        require(first <= last && last <= batchCommitted, NotCommitted(last));
        require(statement.timeStart == timeFinal, TimeWrong(timeFinal, statement.timeStart));
        uint256 time = batches[last].time;
        require(statement.timeEnd == time, TimeWrong(time, statement.timeEnd));
        bytes32 data = 0;
        for (uint256 batch = first; batch <= last; batch++) {
            data = compress(data, batches[batch].digest);
        }
        require(statement.data == data, DataWrong(data, statement.data));
    }

    /// @dev The state's chain is Ethereum's, and no entry that was due is left out.
    function _checkInbox(Bridge memory bridge, uint256 committedAt) private view {
        uint256 consumed = bridge.inboxCount;
        uint256 count = inbox.count();
        require(consumed >= inboxConsumed && consumed <= count, InboxRange(consumed));
        bytes32 head = inbox.headAt(consumed);
        require(bridge.inboxHead == head, InboxHeadWrong(head, bridge.inboxHead));
        if (consumed < count) {
            require(inbox.timeOf(consumed) + SERVICE_TIME >= committedAt, EntryLeftOut(consumed));
        }
    }

    function _addPayouts(Bridge memory bridge, uint256 most) private {
        uint256 from = payoutCount;
        uint256 to = bridge.payoutCount;
        bytes32 head = bridge.payoutHead;
        require(to > from || (to == from && head == payoutHead), PayoutsWrong(to));
        require(to <= PAYOUTS_MAX, PayoutsWrong(to));
        require(to - from <= most, RunTooLong(most, to - from));
        if (to == from) return;
        payoutCount = to;
        payoutHead = head;
        _runs.push(Run(uint64(from), uint64(to), head));
    }

    /// @dev Pays the last unpaid payout of a run: what it was and the head before it follow from the head after it.
    function _pay(uint256 run, Payout calldata payout) private {
        Run storage due = _runs[run];
        require(due.to > due.from, NothingToPay(run));
        uint256 index = due.to - 1;
        (uint256 account, uint256 amount) = (payout.account, payout.amount);
        require(account < ACCOUNTS && amount < PAYOUT_END, PayoutWrong(index));
        Cells.requireDigest(payout.headBefore);
        bytes32 head = Cells.absorb(payout.headBefore, Cells.payout(account, amount), index);
        require(head == due.head, PayoutWrong(index));
        (due.to, due.head) = (uint64(index), index == due.from ? bytes32(0) : payout.headBefore);
        emit Paid(index, account, amount);
        vault.credit(inbox.ownerOf(account), amount);
    }
}
