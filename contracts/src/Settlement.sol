// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

// What the settlement contracts offer, and to whom. What they compute is in docs/SETTLEMENT.md.

/// @title The contract that holds the money: one ERC-20 token, nothing else.
/// @notice It pays what is claimable, and nothing goes out in another way. It takes no token that arrives short (fees) and counts only what came through the inbox.
interface IVault {
    event Collected(address indexed owner, uint256 amount);
    event Credited(address indexed owner, uint256 amount);
    event Claimed(address indexed owner, uint256 amount);

    /// @notice Takes tokens from their owner. Only the inbox.
    function collect(address owner, uint256 amount) external;

    /// @notice Makes tokens claimable: a final withdrawal, an exit, a refund. Only the rollup, the escape and the inbox.
    function credit(address owner, uint256 amount) external;

    /// @notice Pays what is claimable to its owner. Anybody may ask for it.
    function claim(address owner) external returns (uint256 amount);

    function token() external view returns (address);

    /// @notice Tokens that came in through the inbox and have not been paid, claimable or not.
    function held() external view returns (uint256);

    function claimable(address owner) external view returns (uint256);

    function claimableTotal() external view returns (uint256);

    /// @notice Most that the vault may hold, in the token's units.
    function cap() external view returns (uint256);
}

/// @title Forced commands, in order.
interface IInbox {
    /// @notice An entry was appended.
    /// @param index Its number, from 0.
    /// @param account The account whose owner asked.
    /// @param blocks Its blocks: one word each, seven cells of 32 bits, the first one most significant, and a last cell of 0.
    event Appended(uint256 indexed index, uint256 indexed account, bytes32[] blocks);

    /// @notice Deposits from the caller, into its account, which is opened if it has none.
    function deposit(uint256 amount) external payable returns (uint256 account);

    /// @notice Registers, or replaces, a session key of the caller's account.
    /// @param x The public key's first coordinate: seven cells below the field's modulus.
    function register(
        uint256 key,
        bool replaces,
        bool withdraws,
        uint64 expiry,
        uint32[7] calldata x,
        uint32[7] calldata y
    ) external payable;

    function revoke(uint256 key) external payable;

    function withdraw(uint256 amount) external payable;

    function cancelAll(uint256 market) external payable;

    /// @notice Reduces a position against the book: an order that is immediate-or-cancel and reduce-only. Nobody else's signature is needed.
    function close(uint256 market, bool buys, uint256 price, uint256 size) external payable;

    /// @notice Refunds a deposit that was not consumed when the venue froze. Anybody may ask for it; it is credited to who paid.
    function refund(uint256 index) external;

    /// @notice Entries so far.
    function count() external view returns (uint256);

    /// @notice Head of the chain after `index` entries.
    function headAt(uint256 index) external view returns (bytes32);

    /// @notice When entry `index` was appended, in seconds.
    function timeOf(uint256 index) external view returns (uint256);

    /// @notice The account of an owner, 0 if it has none. (Accounts below `firstAccount` are those of the genesis.)
    function accountOf(address owner) external view returns (uint256);

    function ownerOf(uint256 account) external view returns (address);

    function vault() external view returns (IVault);

    /// @notice The deployment's domain, from which the chain begins.
    function domain() external view returns (bytes32);

    /// @notice Wei that every entry costs, so that entries are not free to whoever wants to delay others.
    function fee() external view returns (uint256);
}

/// @title The council, as far as others ask it.
interface ICouncil {
    /// @notice Whether batches and deposits are stopped. Nothing else ever is.
    function paused() external view returns (bool);

    /// @notice When the last pause ended, or ends, in seconds; 0 if there was none.
    function pauseEnd() external view returns (uint256);
}

/// @title Batches: committed with their data, then final by a proof.
interface IRollup {
    /// @notice A batch was committed.
    /// @param chain The digest of its instructions and outcomes.
    /// @param commitment Of its data: see docs/SETTLEMENT.md.
    /// @param digest What the proof binds.
    /// @param time At the batch's end, in milliseconds.
    /// @param blobs Blobs of the data; 0 if it is calldata, of this transaction.
    event Committed(
        uint256 indexed batch, bytes32 chain, bytes32 commitment, bytes32 digest, uint64 time, uint256 blobs
    );
    event Final(uint256 indexed batch, bytes32 root, uint256 inboxConsumed, uint256 payouts);
    event Removed(uint256 indexed first, uint256 last);
    event Paid(uint256 indexed index, uint256 indexed account, uint256 amount);
    event Frozen(uint256 indexed batch, bytes32 root);

    /// @notice A payout, and the chain's head before it.
    struct Payout {
        uint256 account;
        uint256 amount;
        bytes32 headBefore;
    }

    /// @notice One blob of a batch: as the precompile 0x0A takes it.
    struct Blob {
        bytes32 y;
        bytes commitment;
        bytes proof;
    }

    /// @notice Commits the next batch with its data in calldata. Only the operator.
    function commit(uint256 batch, bytes32 chain, uint64 time, bytes calldata words) external;

    /// @notice Commits the next batch with its data in this transaction's blobs, all of them. Only the operator.
    function commitBlobs(uint256 batch, bytes32 chain, uint64 time, Blob[] calldata blobs) external;

    /// @notice Makes committed batches final. Whoever has a proof may do it.
    /// @param opening Of the bridge's slots under the proof's new root.
    function finalise(bytes calldata proof, bytes calldata opening) external;

    /// @notice Removes committed batches, from this one on. Only the operator: for six hours after it committed it, and when it has waited three days for its proof; a pause does not count.
    function remove(uint256 from) external;

    /// @notice Pays payouts of a run (those that became final at once), from its last unpaid one backwards. The runs in any order.
    /// @param run Its number, from 0.
    /// @param end One more than the number of the first of these payouts. Those of them that others have paid meanwhile are passed over.
    function pay(uint256 run, uint256 end, Payout[] calldata payouts) external;

    /// @notice Stops for good. Only the escape.
    function freeze() external;

    function frozen() external view returns (bool);

    function root() external view returns (bytes32);

    /// @notice Who commits batches, and has the inbox's fees.
    function operator() external view returns (address);

    /// @notice The last final batch, and the last committed one.
    function batchFinal() external view returns (uint256);

    function batchCommitted() external view returns (uint256);

    function inboxConsumed() external view returns (uint256);

    /// @notice Runs so far, paid or not: one for each finality that had payouts.
    function runs() external view returns (uint256);

    /// @notice What of a run is unpaid: payouts `from` to `to - 1`, and the head after the last of them. If all of it is paid, `to` is `from`, and the head is 0.
    function unpaid(uint256 run) external view returns (uint256 from, uint256 to, bytes32 head);

    /// @notice When the last batch became final (or the rollup was made), in seconds.
    function finalSince() external view returns (uint256);
}

/// @title The way out that needs nobody.
interface IEscape {
    event DebtShown(uint256 indexed account, uint256 amount);
    event Exited(uint256 indexed account, address indexed owner, uint256 equity, uint256 paid);

    /// @notice Freezes the venue, if it has left an entry unserved for 7 days or made nothing final for 7 days.
    function freeze() external;

    /// @notice Takes down what the last final root says of the system and of some markets. Anybody, once each.
    function record(bytes calldata systemOpening, uint256 marketSet, bytes calldata marketsOpening) external;

    /// @notice Shows that an account is below zero. Within the window.
    function showDebt(uint256 account, bytes calldata opening) external;

    /// @notice Pays out an account, to its owner. Anybody may ask for it, once, after the window.
    function exit(uint256 account, bytes calldata opening) external returns (uint256 paid);

    function exited(uint256 account) external view returns (bool);
}
