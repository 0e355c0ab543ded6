// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BIT32, OVER} from "./Field.sol";
import {compress} from "./Poseidon2.sol";

/// @notice A cell of this digest is not below p.
error DigestWrong(bytes32 digest);

/// @title Instructions as cells, and the chains that absorb them.
/// @notice The twin of `protocol::cells`, for the commands that Ethereum can force; docs/SETTLEMENT.md has them in a table.
/// @dev A block is a word of eight cells, the first one most significant, whose last cell is 0: whoever absorbs it puts a number there. The caller has checked all bounds.
library Cells {
    /// @dev Account `BRIDGE`, which is nobody's.
    uint256 internal constant BRIDGE = (1 << 20) - 1;
    /// @dev "HFA1".
    uint256 private constant TAG = 0x48464131;
    /// @dev Where others have the index of their session key, those whom Ethereum forces have 4.
    uint256 private constant FORCED = 4 << 20;
    uint256 private constant KEY = 1 << 20;
    /// @dev Weight of a head's flags.
    uint256 private constant FLAGS = 16;
    uint256 private constant PART_BITS = 28;
    uint256 private constant PART = (1 << PART_BITS) - 1;
    /// @dev 2^32 − 1 in every second lane of 32 bits.
    uint256 private constant EVEN = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;

    /// @notice The chain after one more block.
    function absorb(bytes32 chain, bytes32 block_, uint256 last) internal pure returns (bytes32) {
        return compress(chain, block_ | bytes32(last));
    }

    /// @notice Refuses what is not a digest.
    function requireDigest(bytes32 digest) internal pure {
        uint256 word = uint256(digest);
        uint256 over;
        unchecked {
            over = (((word >> 32) & EVEN) + OVER) | ((word & EVEN) + OVER);
        }
        require(over & BIT32 == 0, DigestWrong(digest));
    }

    /// @notice What a deployment's chains begin from.
    function domain(uint256 chainId, address vault) internal pure returns (bytes32) {
        return compress(bytes32(_cell(TAG, 0) | _parts(chainId, 1, 3)), bytes32(_parts(uint160(vault), 0, 6)));
    }

    /// @notice The inbox's chain before its first entry.
    function inboxStart(bytes32 domain_) internal pure returns (bytes32) {
        return absorb(domain_, bytes32(_cell(BRIDGE, 0)), 1);
    }

    /// @notice A payout, as its chain absorbs it.
    function payout(uint256 account, uint256 amount) internal pure returns (bytes32) {
        return bytes32(_cell(account, 0) | _parts(amount, 1, 3));
    }

    function deposit(uint256 account, uint256 amount) internal pure returns (bytes32) {
        return _head(1, account, account) | bytes32(_parts(amount, 3, 3));
    }

    function withdraw(uint256 account, uint256 amount) internal pure returns (bytes32) {
        return _head(2, account, 0) | bytes32(_parts(amount, 3, 3));
    }

    /// @notice Immediate-or-cancel (2), reduce-only (8), what it would trade with of the same account expires (16).
    function close(uint256 account, uint256 market, bool buys, uint256 price, uint256 size)
        internal
        pure
        returns (bytes32)
    {
        uint256 flags = (buys ? 1 : 0) + 2 + 8 + 16;
        return _head(3 + FLAGS * flags, account, market) | bytes32(_parts(price, 3, 2) | _parts(size, 5, 2));
    }

    function cancelAll(uint256 account, uint256 market) internal pure returns (bytes32) {
        return _head(5, account, market);
    }

    function open(uint256 account, address owner) internal pure returns (bytes32, bytes32) {
        return (_head(10, account, account), bytes32(_parts(uint160(owner), 0, 6)));
    }

    function register(uint256 account, uint256 key, bool replaces, bool withdraws, uint256 expiry)
        internal
        pure
        returns (bytes32)
    {
        uint256 flags = (withdraws ? 1 : 0) + (replaces ? 2 : 0);
        return _head(11 + FLAGS * flags, account, account + KEY * key) | bytes32(_parts(expiry, 3, 2));
    }

    /// @notice A coordinate of a public key.
    function coordinate(uint32[7] calldata cells) internal pure returns (bytes32 block_) {
        for (uint256 i = 0; i < 7; i++) {
            block_ |= bytes32(_cell(cells[i], i));
        }
    }

    function revoke(uint256 account, uint256 key) internal pure returns (bytes32) {
        return _head(12, account, account + KEY * key);
    }

    /// @dev The first three cells of a forced command.
    function _head(uint256 head, uint256 account, uint256 third) private pure returns (bytes32) {
        return bytes32(_cell(head, 0) | _cell(account + FORCED, 1) | _cell(third, 2));
    }

    function _cell(uint256 value, uint256 index) private pure returns (uint256) {
        return value << (224 - 32 * index);
    }

    /// @dev A number as so many cells of 28 bits, the least significant first.
    function _parts(uint256 value, uint256 first, uint256 count) private pure returns (uint256 cells) {
        for (uint256 i = 0; i < count; i++) {
            cells |= _cell((value >> (PART_BITS * i)) & PART, first + i);
        }
    }
}
