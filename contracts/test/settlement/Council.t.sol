// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Council} from "../../src/Council.sol";
import {IRollup} from "../../src/Settlement.sol";
import {IVerifier, Rollup} from "../../src/Rollup.sol";
import {Kit, VM, Verifier} from "./Kit.sol";

contract CouncilTest is Kit {
    function _operatorCall(address who) private pure returns (bytes memory) {
        return abi.encodeCall(Rollup.setOperator, (who));
    }

    function testConstruction() external {
        address[12] memory members = _members();
        VM.expectRevert(abi.encodeWithSelector(Council.ZeroAddress.selector));
        new Council(IRollup(address(0)), members);
        members[11] = members[3];
        VM.expectRevert(abi.encodeWithSelector(Council.MemberTwice.selector, members[3]));
        new Council(_rollup, members);
        members[11] = address(0);
        VM.expectRevert(abi.encodeWithSelector(Council.ZeroAddress.selector));
        new Council(_rollup, members);
        _eq(_council.members()[11], _member(11), "seat");
    }

    function testOnlyMembers() external {
        VM.expectRevert(abi.encodeWithSelector(Council.NotMember.selector, address(this)));
        _council.propose(address(_rollup), "");
        VM.expectRevert(abi.encodeWithSelector(Council.NotMember.selector, address(this)));
        _council.approve(0);
        VM.expectRevert(abi.encodeWithSelector(Council.NotMember.selector, address(this)));
        _council.withdraw(0);
        VM.expectRevert(abi.encodeWithSelector(Council.NotCouncil.selector, address(this)));
        _council.pause(1);
        VM.prank(_member(0));
        VM.expectRevert(abi.encodeWithSelector(Council.NotCouncil.selector, _member(0)));
        _council.replaceMember(_member(0), ALICE);
    }

    function testOnlyTheRollupAndItself() external {
        address[3] memory targets = [address(_vault), address(_token), address(_escape)];
        for (uint256 i = 0; i < 3; i++) {
            VM.prank(_member(0));
            VM.expectRevert(abi.encodeWithSelector(Council.TargetWrong.selector, targets[i]));
            _council.propose(targets[i], "");
        }
    }

    function testAnUpgradeTakesNineAndThirtyDays() external {
        VM.prank(_member(11));
        uint256 id = _council.propose(address(_rollup), _operatorCall(BOB));
        VM.prank(_member(11));
        VM.expectRevert(abi.encodeWithSelector(Council.AlreadyApproved.selector, id));
        _council.approve(id);
        for (uint256 i = 0; i < 8; i++) {
            VM.expectRevert(abi.encodeWithSelector(Council.NotReady.selector, id));
            _council.execute(id);
            VM.warp(VM.getBlockTimestamp() + 1 days);
            VM.prank(_member(i));
            _council.approve(id);
        }
        uint256 ready = START + 8 days + 30 days;
        _eq(_council.proposalOf(id).readyAt, ready, "ready");
        VM.warp(ready - 1);
        VM.expectRevert(abi.encodeWithSelector(Council.NotReady.selector, id));
        _council.execute(id);
        // Approvals after the ninth do not change when.
        VM.prank(_member(9));
        _council.approve(id);
        VM.warp(ready);
        _council.execute(id);
        _eq(_rollup.operator(), BOB, "operator");
        VM.expectRevert(abi.encodeWithSelector(Council.AlreadyExecuted.selector, id));
        _council.execute(id);
        VM.prank(_member(10));
        VM.expectRevert(abi.encodeWithSelector(Council.AlreadyExecuted.selector, id));
        _council.approve(id);
    }

    function testTheWindowEnds() external {
        uint256 id = _propose(address(_rollup), _operatorCall(BOB));
        VM.warp(START + 44 days);
        VM.expectRevert(abi.encodeWithSelector(Council.Lapsed.selector, id));
        _council.execute(id);
        VM.warp(START + 44 days - 1);
        _council.execute(id);
        _eq(_council.proposals(), 1, "proposals");
    }

    function testApprovalsExpire() external {
        VM.prank(_member(0));
        uint256 id = _council.propose(address(_rollup), _operatorCall(BOB));
        VM.warp(START + 14 days);
        VM.prank(_member(1));
        VM.expectRevert(abi.encodeWithSelector(Council.Lapsed.selector, id));
        _council.approve(id);
    }

    function testApprovalsAreTakenBack() external {
        uint256 id = _propose(address(_rollup), _operatorCall(BOB));
        VM.prank(_member(11));
        VM.expectRevert(abi.encodeWithSelector(Council.NotApproved.selector, id));
        _council.withdraw(id);
        VM.warp(START + 10 days);
        VM.prank(_member(4));
        _council.withdraw(id);
        // Another one within the time: the delay begins again.
        VM.prank(_member(11));
        _council.approve(id);
        _eq(_council.proposalOf(id).readyAt, START + 40 days, "again");
        VM.warp(START + 39 days);
        VM.prank(_member(11));
        _council.withdraw(id);
        VM.warp(START + 41 days);
        VM.expectRevert(abi.encodeWithSelector(Council.NotReady.selector, id));
        _council.execute(id);
        VM.prank(_member(11));
        VM.expectRevert(abi.encodeWithSelector(Council.Lapsed.selector, id));
        _council.approve(id);
    }

    function testNoSuchProposal() external {
        VM.expectRevert(abi.encodeWithSelector(Council.NoProposal.selector, 0));
        _council.execute(0);
        VM.expectRevert(abi.encodeWithSelector(Council.NoProposal.selector, 0));
        _council.proposalOf(0);
        VM.prank(_member(0));
        VM.expectRevert(abi.encodeWithSelector(Council.NoProposal.selector, 7));
        _council.approve(7);
    }

    function testPausesCannotBeChained() external {
        uint256 first = _propose(address(_council), abi.encodeCall(Council.pause, (3 days)));
        uint256 second = _propose(address(_council), abi.encodeCall(Council.pause, (3 days)));
        _council.execute(first);
        require(_council.paused(), "paused at once");
        VM.expectRevert(abi.encodeWithSelector(Council.PauseTooSoon.selector, START + 33 days));
        _council.execute(second);
        VM.warp(START + 3 days);
        require(!_council.paused(), "over");
        VM.warp(START + 14 days - 1);
        VM.expectRevert(abi.encodeWithSelector(Council.PauseTooSoon.selector, START + 33 days));
        _council.execute(second);
        VM.warp(START + 33 days - 1);
        uint256 third = _propose(address(_council), abi.encodeCall(Council.pause, (1)));
        VM.expectRevert(abi.encodeWithSelector(Council.PauseTooSoon.selector, START + 33 days));
        _council.execute(third);
        VM.expectRevert(abi.encodeWithSelector(Council.Lapsed.selector, second));
        _council.execute(second);
        VM.warp(START + 33 days);
        _council.execute(third);
        require(_council.paused(), "again");
        _eq(_council.pauseEnd(), START + 33 days + 1, "until");
    }

    function testPausesAreShort() external {
        uint256[2] memory lengths = [uint256(0), 3 days + 1];
        for (uint256 i = 0; i < 2; i++) {
            uint256 id = _propose(address(_council), abi.encodeCall(Council.pause, (lengths[i])));
            VM.expectRevert(abi.encodeWithSelector(Council.PauseLength.selector, lengths[i]));
            _council.execute(id);
        }
    }

    /// @dev The deadlines do not wait for a pause.
    function testAPauseDoesNotDelayTheFreeze() external {
        VM.warp(START + 5 days);
        _pause(3 days);
        VM.warp(START + 7 days + 1);
        require(_council.paused(), "paused");
        _escape.freeze();
        require(_rollup.frozen(), "frozen");
    }

    function testUpgradesStopWhenFrozen() external {
        uint256 id = _propose(address(_rollup), _operatorCall(BOB));
        uint256 other = _propose(address(_council), abi.encodeCall(Council.pause, (1 days)));
        _freeze();
        VM.expectRevert(abi.encodeWithSelector(Council.IsFrozen.selector));
        _council.execute(other);
        VM.warp(START + 30 days);
        VM.expectRevert(abi.encodeWithSelector(Council.IsFrozen.selector));
        _council.execute(id);
    }

    function testMembersAreReplaced() external {
        uint256 pending = _propose(address(_rollup), _operatorCall(BOB));
        bytes memory data = abi.encodeCall(Council.replaceMember, (_member(2), ALICE));
        uint256 id = _propose(address(_council), data);
        VM.warp(START + 30 days - 1);
        VM.expectRevert(abi.encodeWithSelector(Council.NotReady.selector, id));
        _council.execute(id);
        VM.warp(START + 30 days);
        _council.execute(id);
        _eq(_council.members()[2], ALICE, "seat");
        VM.prank(_member(2));
        VM.expectRevert(abi.encodeWithSelector(Council.NotMember.selector, _member(2)));
        _council.propose(address(_rollup), "");
        // What was proposed before lapses.
        VM.expectRevert(abi.encodeWithSelector(Council.Lapsed.selector, pending));
        _council.execute(pending);
        VM.prank(ALICE);
        _council.propose(address(_rollup), "");
        _refused(abi.encodeCall(Council.replaceMember, (_member(2), BOB)), Council.NotMember.selector);
        _refused(abi.encodeCall(Council.replaceMember, (ALICE, _member(3))), Council.MemberTwice.selector);
        _refused(abi.encodeCall(Council.replaceMember, (ALICE, address(0))), Council.ZeroAddress.selector);
    }

    function _refused(bytes memory data, bytes4 selector) private {
        VM.prank(ALICE);
        uint256 id = _council.propose(address(_council), data);
        for (uint256 i = 3; i < 11; i++) {
            VM.prank(_member(i));
            _council.approve(id);
        }
        VM.warp(VM.getBlockTimestamp() + 30 days);
        VM.expectPartialRevert(selector);
        _council.execute(id);
    }

    function testTheVerifierIsReplaced() external {
        IVerifier next = IVerifier(address(new Verifier()));
        bytes memory data = abi.encodeCall(Rollup.setVerifier, (next, bytes32(uint256(9))));
        uint256 id = _propose(address(_rollup), data);
        VM.warp(START + 30 days);
        _council.execute(id);
        _eq(address(_rollup.verifier()), address(next), "verifier");
        _eq(_rollup.segmentKey(), bytes32(uint256(9)), "key");
        bytes[3] memory wrong = [
            abi.encodeCall(Rollup.setVerifier, (IVerifier(address(0)), bytes32(0))),
            abi.encodeCall(Rollup.setVerifier, (IVerifier(ALICE), bytes32(0))),
            _operatorCall(address(0))
        ];
        bytes[3] memory errors = [
            abi.encodeWithSelector(Rollup.NoVerifier.selector, address(0)),
            abi.encodeWithSelector(Rollup.NoVerifier.selector, ALICE),
            abi.encodeWithSelector(Rollup.ZeroAddress.selector)
        ];
        for (uint256 i = 0; i < 3; i++) {
            id = _propose(address(_rollup), wrong[i]);
            VM.warp(VM.getBlockTimestamp() + 30 days);
            VM.expectRevert(errors[i]);
            _council.execute(id);
        }
    }
}
