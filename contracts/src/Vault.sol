// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "./Settlement.sol";

interface IERC20 {
    function balanceOf(address owner) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @title The money.
/// @notice One token, in through the inbox, out to who has a claim. Nobody can change anything here: no owner, no pause.
/// @dev It is made first, since the genesis has its address; the addresses of the others are known before, from the deployer's nonce.
contract Vault is IVault {
    /// @notice The most that a venue's deposits can be (`limits::DEPOSITS_MAX`).
    uint256 public constant CAP_MAX = 1 << 90;

    address public immutable token;
    address public immutable inbox;
    address public immutable rollup;
    address public immutable escape;
    uint256 public immutable cap;

    uint256 public held;
    uint256 public claimableTotal;
    mapping(address owner => uint256 amount) public claimable;

    /// @dev A token that calls back finds the vault closed.
    bool private transient _entered;

    error CapWrong(uint256 cap);
    error ZeroAddress();
    error NotAllowed(address caller);
    error Reentered();
    /// @notice The vault would hold more than it may.
    error CapReached(uint256 cap, uint256 got);
    error TransferFailed();
    /// @notice Less arrived than was sent: the token takes a fee.
    error Short(uint256 expected, uint256 got);
    /// @notice Less is left than should be: the token takes more than was paid.
    error Overpaid(uint256 expected, uint256 got);
    /// @notice More would be claimable than is here. (It cannot be, as long as the proofs hold.)
    error NotCovered(uint256 held, uint256 claimable);
    error NothingToClaim(address owner);

    modifier once() {
        require(!_entered, Reentered());
        _entered = true;
        _;
        _entered = false;
    }

    constructor(address token_, uint256 cap_, address inbox_, address rollup_, address escape_) {
        require(cap_ != 0 && cap_ <= CAP_MAX, CapWrong(cap_));
        require(token_ != address(0) && inbox_ != address(0), ZeroAddress());
        require(rollup_ != address(0) && escape_ != address(0), ZeroAddress());
        (token, cap, inbox, rollup, escape) = (token_, cap_, inbox_, rollup_, escape_);
    }

    /// @inheritdoc IVault
    function collect(address owner, uint256 amount) external once {
        require(msg.sender == inbox, NotAllowed(msg.sender));
        uint256 sum = held + amount;
        require(sum <= cap, CapReached(cap, sum));
        held = sum;
        emit Collected(owner, amount);

        uint256 before = IERC20(token).balanceOf(address(this));
        _call(abi.encodeCall(IERC20.transferFrom, (owner, address(this), amount)));
        uint256 arrived = IERC20(token).balanceOf(address(this));
        require(arrived >= before + amount, Short(before + amount, arrived));
    }

    /// @inheritdoc IVault
    function credit(address owner, uint256 amount) external once {
        require(msg.sender == rollup || msg.sender == escape || msg.sender == inbox, NotAllowed(msg.sender));
        uint256 total = claimableTotal + amount;
        require(total <= held, NotCovered(held, total));
        claimableTotal = total;
        claimable[owner] += amount;
        emit Credited(owner, amount);
    }

    /// @inheritdoc IVault
    function claim(address owner) external once returns (uint256 amount) {
        amount = claimable[owner];
        require(amount != 0, NothingToClaim(owner));
        claimable[owner] = 0;
        claimableTotal -= amount;
        held -= amount;
        emit Claimed(owner, amount);

        uint256 before = IERC20(token).balanceOf(address(this));
        _call(abi.encodeCall(IERC20.transfer, (owner, amount)));
        uint256 left = IERC20(token).balanceOf(address(this));
        require(left + amount >= before, Overpaid(before - amount, left));
    }

    /// @dev A call of the token, which may return nothing, or true.
    function _call(bytes memory data) private {
        (bool fine, bytes memory answer) = token.call(data);
        require(fine && token.code.length != 0, TransferFailed());
        require(answer.length == 0 || (answer.length >= 32 && abi.decode(answer, (uint256)) == 1), TransferFailed());
    }
}
