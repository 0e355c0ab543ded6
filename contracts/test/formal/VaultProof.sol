// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vault} from "../../src/Vault.sol";
import {SVM, VM} from "./Svm.sol";

/// @dev A token that answers anything.
contract AnyToken {
    function balanceOf(address) external returns (uint256) {
        return SVM.createUint256("balance");
    }

    function transfer(address, uint256) external returns (bool) {
        return SVM.createBool("transfer");
    }

    function transferFrom(address, address, uint256) external returns (bool) {
        return SVM.createBool("transferFrom");
    }
}

/// @dev A token that does as it should.
contract PlainToken {
    mapping(address => uint256) public balanceOf;

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @notice One call of anybody's, from any state in which the invariant holds: so it holds after any number of them.
/// @dev The invariant: claimableTotal ≤ held ≤ cap. That claimableTotal is the sum over all owners follows from how they change together.
contract VaultProof {
    address private constant INBOX = address(0x1b0c);
    address private constant ROLLUP = address(0x2011);
    address private constant ESCAPE = address(0xe5ca);

    struct State {
        uint256 held;
        uint256 total;
        uint256 first;
        uint256 second;
    }

    /// @dev Two owners, whoever they are.
    address private _first;
    address private _second;

    function _any(address token) private returns (Vault vault) {
        uint256 cap = SVM.createUint256("cap");
        VM.assume(cap != 0 && cap <= 1 << 90);
        vault = new Vault(token, cap, INBOX, ROLLUP, ESCAPE);
        SVM.enableSymbolicStorage(address(vault));
        (_first, _second) = (SVM.createAddress("first"), SVM.createAddress("second"));
        VM.assume(_first != _second);
        State memory state = _state(vault);
        VM.assume(state.total <= state.held && state.held <= cap);
    }

    function _state(Vault vault) private view returns (State memory) {
        return State(vault.held(), vault.claimableTotal(), vault.claimable(_first), vault.claimable(_second));
    }

    /// @dev Any of the vault's functions, with any arguments.
    function _call(Vault vault, address caller) private {
        bytes memory data = SVM.createCalldata("Vault");
        VM.prank(caller);
        (bool fine,) = address(vault).call(data);
        VM.assume(fine);
    }

    /// @dev Whatever the token answers.
    function check_neverMoreClaimableThanHeld(address caller) external {
        Vault vault = _any(address(new AnyToken()));
        State memory before = _state(vault);
        _call(vault, caller);
        State memory state = _state(vault);
        // Either both fall by as much, or they are as they should be. (That t - a ≤ h - a follows from t ≤ h is hard for a solver of bits.)
        unchecked {
            bool fall = before.held - state.held == before.total - state.total && state.held < before.held;
            assert(fall || (state.total <= state.held && state.held <= vault.cap()));
        }
    }

    /// @dev What changes of the total is what changes of one owner: so the total is the sum.
    function check_theTotalIsTheSum(address caller) external {
        Vault vault = _any(address(new AnyToken()));
        State memory before = _state(vault);
        _call(vault, caller);
        State memory state = _state(vault);
        assert(state.first == before.first || state.second == before.second);
        if (state.first != before.first) {
            unchecked {
                assert(state.first - before.first == state.total - before.total);
            }
        }
    }

    function check_whoMayWhat(address caller) external {
        Vault vault = _any(address(new AnyToken()));
        State memory before = _state(vault);
        _call(vault, caller);
        State memory state = _state(vault);
        bool known = caller == INBOX || caller == ROLLUP || caller == ESCAPE;
        assert(known || (state.total <= before.total && state.first <= before.first));
        assert(caller == INBOX || state.held <= before.held);
        // What leaves was claimable.
        if (state.held < before.held) assert(before.held - state.held == before.total - state.total);
    }

    function check_aClaimComesOnce(address caller, address owner) external {
        Vault vault = _any(address(new AnyToken()));
        VM.assume(owner == _first);
        State memory before = _state(vault);
        VM.prank(caller);
        uint256 amount = vault.claim(owner);
        assert(amount == before.first && amount != 0);
        State memory state = _state(vault);
        assert(state.first == 0 && state.held == before.held - amount && state.second == before.second);
        VM.prank(caller);
        try vault.claim(owner) {
            assert(false);
        } catch {}
    }

    /// @dev With a token that does as it should, the vault has what it owes.
    function check_theTokensAreThere(address caller) external {
        PlainToken token = new PlainToken();
        Vault vault = _any(address(token));
        SVM.enableSymbolicStorage(address(token));
        VM.assume(caller != address(vault));
        VM.assume(token.balanceOf(address(vault)) >= vault.held());
        _call(vault, caller);
        assert(token.balanceOf(address(vault)) >= vault.held());
    }
}
