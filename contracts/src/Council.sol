// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ICouncil, IRollup} from "./Settlement.sol";

/// @title The council.
/// @notice Nine of twelve may pause for three days, and, thirty days after they said so, replace the rollup's verifier or operator, or one of themselves. Nothing else: there is no
/// other contract that asks them.
contract Council is ICouncil {
    uint256 public constant MEMBERS = 12;
    uint256 public constant THRESHOLD = 9;
    /// @notice From the ninth approval to when it can be carried out: time to leave.
    uint256 public constant DELAY = 30 days;
    /// @notice How long it can be carried out then.
    uint256 public constant EXECUTION_WINDOW = 14 days;
    /// @notice How long a proposal's approvals hold if there are not nine of them.
    uint256 public constant APPROVAL_TIME = 14 days;
    uint256 public constant PAUSE_MAX = 3 days;
    /// @notice From the end of a pause to the next one.
    uint256 public constant PAUSE_INTERVAL = 30 days;

    struct Proposal {
        address target;
        /// When it was made.
        uint40 madeAt;
        /// From when on it can be carried out; 0 if it has not been approved.
        uint40 readyAt;
        /// Changes of members before it was made.
        uint32 term;
        bool executed;
        /// Bit i is set if seat i approves.
        uint16 approvals;
        bytes data;
    }

    IRollup public immutable rollup;

    address[MEMBERS] private _members;
    /// @dev Seat + 1.
    mapping(address member => uint256 place) private _places;
    /// @notice How often members changed: with each change, all proposals before it lapse.
    uint32 public term;
    uint256 public pauseEnd;
    Proposal[] private _proposals;

    event Proposed(uint256 indexed id, address indexed member, address target, bytes data);
    event Approved(uint256 indexed id, address indexed member);
    event Withdrawn(uint256 indexed id, address indexed member);
    event Ready(uint256 indexed id, uint256 readyAt);
    event Executed(uint256 indexed id);
    event Paused(uint256 until);
    event MemberReplaced(address indexed former, address indexed member);

    error ZeroAddress();
    error MemberTwice(address member);
    error NotMember(address caller);
    error NotCouncil(address caller);
    error TargetWrong(address target);
    error NoProposal(uint256 id);
    error AlreadyExecuted(uint256 id);
    error Lapsed(uint256 id);
    error AlreadyApproved(uint256 id);
    error NotApproved(uint256 id);
    error NotReady(uint256 id);
    error IsFrozen();
    error PauseLength(uint256 seconds_);
    error PauseTooSoon(uint256 notBefore);

    modifier onlyMember() {
        require(_places[msg.sender] != 0, NotMember(msg.sender));
        _;
    }

    /// @dev Only by way of a proposal.
    modifier onlyCouncil() {
        require(msg.sender == address(this), NotCouncil(msg.sender));
        _;
    }

    constructor(IRollup rollup_, address[12] memory members_) {
        require(address(rollup_) != address(0), ZeroAddress());
        rollup = rollup_;
        for (uint256 seat = 0; seat < MEMBERS; seat++) {
            _seat(seat, members_[seat]);
        }
    }

    /// @notice Proposes a call of the rollup, or of the council itself, and approves it.
    function propose(address target, bytes calldata data) external onlyMember returns (uint256 id) {
        require(target == address(rollup) || target == address(this), TargetWrong(target));
        id = _proposals.length;
        _proposals.push(Proposal(target, uint40(block.timestamp), 0, term, false, 0, data));
        emit Proposed(id, msg.sender, target, data);
        _approve(id);
    }

    /// @notice Approves a proposal. With the ninth approval its delay begins; that of a pause is none.
    function approve(uint256 id) external onlyMember {
        _approve(id);
    }

    /// @notice Takes an approval back. A proposal with fewer than nine is not carried out.
    function withdraw(uint256 id) external onlyMember {
        Proposal storage proposal = _open(id);
        uint16 bit = _bit();
        require(proposal.approvals & bit != 0, NotApproved(id));
        proposal.approvals &= ~bit;
        if (_count(proposal.approvals) < THRESHOLD) proposal.readyAt = 0;
        emit Withdrawn(id, msg.sender);
    }

    /// @notice Carries a proposal out. Anybody, once it is ready, until its window is over; no upgrade of a frozen venue.
    function execute(uint256 id) external {
        Proposal storage proposal = _open(id);
        uint256 readyAt = proposal.readyAt;
        require(readyAt != 0 && block.timestamp >= readyAt, NotReady(id));
        require(block.timestamp < readyAt + EXECUTION_WINDOW, Lapsed(id));
        require(!rollup.frozen(), IsFrozen());
        proposal.executed = true;
        emit Executed(id);
        (bool fine, bytes memory answer) = proposal.target.call(proposal.data);
        if (!fine) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    /// @notice Stops batches, proofs and deposits. Forced commands, payouts, claims, the freeze and exits go on, and no deadline moves.
    function pause(uint256 seconds_) external onlyCouncil {
        require(seconds_ != 0 && seconds_ <= PAUSE_MAX, PauseLength(seconds_));
        uint256 notBefore = pauseEnd == 0 ? 0 : pauseEnd + PAUSE_INTERVAL;
        require(block.timestamp >= notBefore, PauseTooSoon(notBefore));
        pauseEnd = block.timestamp + seconds_;
        emit Paused(pauseEnd);
    }

    /// @notice Another member in the place of one; all other proposals lapse.
    function replaceMember(address former, address member) external onlyCouncil {
        uint256 place = _places[former];
        require(place != 0, NotMember(former));
        _places[former] = 0;
        _seat(place - 1, member);
        term++;
        emit MemberReplaced(former, member);
    }

    /// @inheritdoc ICouncil
    function paused() external view returns (bool) {
        return block.timestamp < pauseEnd;
    }

    function members() external view returns (address[12] memory) {
        return _members;
    }

    function proposals() external view returns (uint256) {
        return _proposals.length;
    }

    function proposalOf(uint256 id) external view returns (Proposal memory) {
        require(id < _proposals.length, NoProposal(id));
        return _proposals[id];
    }

    function _seat(uint256 seat, address member) private {
        require(member != address(0), ZeroAddress());
        require(_places[member] == 0, MemberTwice(member));
        _members[seat] = member;
        _places[member] = seat + 1;
    }

    /// @dev A proposal that was not carried out, of the present members.
    function _open(uint256 id) private view returns (Proposal storage proposal) {
        require(id < _proposals.length, NoProposal(id));
        proposal = _proposals[id];
        require(!proposal.executed, AlreadyExecuted(id));
        require(proposal.term == term, Lapsed(id));
    }

    function _approve(uint256 id) private {
        Proposal storage proposal = _open(id);
        // All approvals are as old as the proposal at most: none counts for longer than this before there are nine.
        bool ready = proposal.readyAt != 0;
        require(ready || block.timestamp < proposal.madeAt + APPROVAL_TIME, Lapsed(id));
        uint16 bit = _bit();
        require(proposal.approvals & bit == 0, AlreadyApproved(id));
        proposal.approvals |= bit;
        emit Approved(id, msg.sender);
        if (ready || _count(proposal.approvals) < THRESHOLD) return;
        uint256 readyAt = block.timestamp + (_isPause(proposal) ? 0 : DELAY);
        proposal.readyAt = uint40(readyAt);
        emit Ready(id, readyAt);
    }

    /// @dev The caller's, who is a member.
    function _bit() private view returns (uint16) {
        return uint16(1 << (_places[msg.sender] - 1));
    }

    function _isPause(Proposal storage proposal) private view returns (bool) {
        return proposal.target == address(this) && bytes4(proposal.data) == this.pause.selector;
    }

    function _count(uint256 set) private pure returns (uint256 count) {
        for (; set != 0; set &= set - 1) {
            count++;
        }
    }
}
