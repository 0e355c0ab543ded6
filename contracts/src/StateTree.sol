// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BIT32, OVER} from "./Field.sol";
import {compress} from "./Poseidon2.sol";

/// @notice An account as one state has it.
struct Account {
    /// Whether it has an owner: no other account can hold anything.
    bool open;
    /// To whom its withdrawals go; zero if it is not open (and the zero address can own an account).
    address owner;
    /// In quote units.
    int256 collateral;
    /// All directory entries from this one on are empty.
    uint256 entries;
    /// Market + 1 of each position, 0 if the entry is empty.
    uint256[16] directory;
    /// One for each entry that is not empty, in their order.
    Position[] positions;
}

/// @notice A position of an account.
struct Position {
    /// Its entry in the account's directory.
    uint256 entry;
    uint256 market;
    /// In lots; negative is short.
    int256 size;
    /// In quote units: what sells brought minus what buys cost since the position was last flat.
    int256 quote;
    /// Sums of the remaining sizes of the account's open orders in this market, in lots.
    uint256 bids;
    uint256 asks;
    /// Orders resting in the book.
    uint256 openOrders;
}

/// @notice The venue itself.
struct System {
    /// Milliseconds since the Unix epoch.
    uint256 time;
    uint256 oracle;
    uint256 operator;
    uint256 feeAccount;
    /// First freed order slot, 0 if there is none.
    uint256 freeHead;
    /// Next never-used order slot.
    uint256 fresh;
    /// Deposits minus withdrawals, in quote units.
    uint256 deposits;
    /// Who opens accounts, registers keys and credits deposits.
    uint256 registrar;
    /// Session keys that have asked for something since their signature was last checked: none at the end of a batch.
    uint256 unsealed;
    /// Batches closed so far.
    uint256 batches;
}

/// @notice How far the exchange's two chains with Ethereum have come.
struct Bridge {
    /// Forced instructions that were consumed, and the head of their chain.
    uint256 inboxCount;
    bytes32 inboxHead;
    /// Payouts, and the head of theirs.
    uint256 payoutCount;
    bytes32 payoutHead;
}

/// @notice A market. All zero if there is none of this number.
struct Market {
    uint256 market;
    bool exists;
    /// Mark price in ticks. (One tick times one lot is one quote unit.)
    uint256 mark;
    uint256 initialMarginPpm;
    uint256 maintenanceMarginPpm;
    uint256 makerFeePpm;
    uint256 takerFeePpm;
    uint256 markMovePpm;
    /// In lots.
    uint256 positionMax;
    uint256 openOrdersMax;
    uint256 tickDecimals;
    uint256 lotDecimals;
}

/// @notice There is no such account.
error AccountRange(uint256 account);
/// @notice No market is asked for.
error NoMarkets();
/// @notice The opening is not as long as what it opens (of an account whose opening is too short to say: the shortest).
error OpeningLength(uint256 expected, uint256 got);
/// @notice A cell of the digest at this byte of the opening is not below p.
error NotCanonical(uint256 offset);
/// @notice The raw leaf at this byte of the opening is none that this slot can have: a limb of more than 14 bits, say, or an unused cell that is not zero.
error LeafWrong(uint256 offset);
/// @notice A signed integer in the slot at this byte of the opening is minus zero.
error NegativeZero(uint256 offset);
/// @notice The account has more entries than there are.
error EntriesWrong(uint256 entries);
/// @notice A directory entry holds no market, or is not below `entries`.
error DirectoryWrong(uint256 entry, uint256 cell);
/// @notice The position of an entry is not of the market that the directory says.
error MarketWrong(uint256 entry, uint256 expected, uint256 got);
/// @notice The opening is of another state, or of another slot.
error RootWrong(bytes32 expected, bytes32 got);

/// @title Reading the exchange's state from its root.
/// @notice Opens slots of the state tree against a state root, as `FinalVerifier` returns them. What is returned is what the state has: an opening of another slot, of a part
/// of an account's positions, or of another state is refused with a custom error, and there is exactly one opening of a slot.
/// @dev The tree has 28 levels above raw leaves of eight cells; what lies where is in `holdfast_exchange::slots`, what an opening is made of in `holdfast_exchange::opening`,
/// which makes them and has the same checks in the same order. Cells are 32 bits, the first one most significant. An integer is limbs of 14 bits, the least significant first,
/// a signed one its sign (1 is negative) and then its magnitude.
library StateTree {
    /// @dev Accounts, and markets, that there can be.
    uint256 private constant ACCOUNTS = 1 << 20;
    uint256 private constant MARKETS = 256;
    uint256 private constant ENTRIES = 16;
    /// @dev The lower half of every lane of 64 bits, and of 128 bits.
    uint256 private constant EVEN_32 = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant EVEN_64 = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
    /// @dev The level of nodes over four leaves, which is a slot.
    uint256 private constant SLOT_LEVEL = 2;
    uint256 private constant DEPTH = 28;
    /// @dev An account's leaves are those below one node of this level; these nodes begin with this one.
    uint256 private constant ACCOUNT_LEVEL = 7;
    uint256 private constant ACCOUNT_FIRST = 1 << 20;
    /// @dev The node over the two slots of the bridge: those of the first two session keys of the last account.
    uint256 private constant BRIDGE_LEVEL = 3;
    uint256 private constant BRIDGE_NODE = ((1 << 27) + (ACCOUNTS - 1) * 128 + 16) >> BRIDGE_LEVEL;
    /// @dev The markets' slots are all those below the node 1 of this level.
    uint256 private constant MARKETS_LEVEL = 10;

    uint256 private constant SLOT_BYTES = 128;
    /// @dev Where the parts of an account's opening begin.
    uint256 private constant OWNER_AT = SLOT_BYTES;
    uint256 private constant SESSIONS_AT = OWNER_AT + 32;
    uint256 private constant POSITIONS_AT = SESSIONS_AT + 32;
    uint256 private constant ACCOUNT_PATH_BYTES = 32 * (DEPTH - ACCOUNT_LEVEL);

    /// @dev Bits that a leaf's cells can have: a bit, an entry or a market's number (checked further), limbs, ids of 30 bits, parts of an address.
    uint256 private constant ACCOUNT_0 = 0x0000000100003fff00003fff00003fff00003fff00003fff00003fff00003fff;
    uint256 private constant ACCOUNT_1 = 0x00003fff3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff;
    uint256 private constant ACCOUNT_2 = 0x3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff3fffffff;
    uint256 private constant ACCOUNT_3 = 0x3fffffff3fffffff000000000000000000000000000000000000000000000000;
    uint256 private constant OWNER_0 = 0x000000010fffffff0fffffff0fffffff0fffffff0fffffff000fffff00000000;
    uint256 private constant POSITION_0 = 0x3fffffff0000000100003fff00003fff00003fff0000000100003fff00003fff;
    uint256 private constant POSITION_2 = 0x00003fff00003fff00003fff00003fff00003fff00003fff00003fff00000000;
    uint256 private constant SYSTEM_0 = 0x00003fff00003fff00003fff3fffffff3fffffff3fffffff3fffffff3fffffff;
    uint256 private constant SYSTEM_1 = 0x00003fff00003fff00003fff00003fff00003fff00003fff00003fff3fffffff;
    uint256 private constant SYSTEM_2 = 0x3fffffff3fffffff000000000000000000000000000000000000000000000000;
    uint256 private constant MARKET_0 = 0x0000000100003fff00003fff00003fff00003fff00003fff00003fff00003fff;
    uint256 private constant MARKET_3 = 0x00003fff3fffffff3fffffff0000000000000000000000000000000000000000;
    uint256 private constant SESSION_0 = 0x000000017fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff;
    uint256 private constant SESSION_1 = 0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff00000001;
    uint256 private constant SESSION_2 = 0x00003fff00003fff00003fff000000013fffffff3fffffff7fffffff7fffffff;
    uint256 private constant SESSION_3 = 0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff0000000000000000;
    uint256 private constant LIMBS_8 = 0x00003fff00003fff00003fff00003fff00003fff00003fff00003fff00003fff;

    /// @dev Digests of subtrees that were never written, by level.
    bytes32 private constant ZERO_1 = 0x45acb8c607ad10682c8c7c9f34afa361157e0af3659ba3866ff58f573ed70fd1;
    bytes32 private constant ZERO_2 = 0x1f784c6e28417b366e5dccb55c40c83c221dbae810bf3bd33998a563031eddc7;
    bytes32 private constant ZERO_3 = 0x632a1d2e29b53e260631bad32e9cd1a5507ce147766c8b82577787d506d0e61f;
    bytes32 private constant ZERO_4 = 0x41a8095908d216df6f64291f4bfb7427624082432c6a83125178625e6195cd28;
    bytes32 private constant ZERO_5 = 0x740d10122ac9548004224efb574454930aeee29e504ca98f2c735a5c740a4d8d;
    bytes32 private constant ZERO_6 = 0x15dd6f690264c82a77ae685e528e2af56642927d4980ce922cbfb90335222ef3;

    /// @notice Opens an account: its slot, its owner and all its positions, but not its session keys.
    /// @param root The state root.
    /// @param index The account.
    /// @param opening 4 leaves of the account, 1 of its owner, the digest of its session keys' 16 leaves, 4 of each position, 21 siblings from level 7 up.
    function readAccount(bytes32 root, uint256 index, bytes calldata opening)
        internal
        pure
        returns (Account memory account)
    {
        require(index < ACCOUNTS, AccountRange(index));
        _requireLength(
            opening.length < POSITIONS_AT + ACCOUNT_PATH_BYTES, POSITIONS_AT + ACCOUNT_PATH_BYTES, opening.length
        );
        bytes32 node = _readSlot(opening, 0, ACCOUNT_0, ACCOUNT_1, ACCOUNT_2, ACCOUNT_3);
        uint256 first = _word(opening, 0);
        uint256 second = _word(opening, 32);
        account.collateral = _signed(_cell(first, 0), _limbs(first, 1, 7) | (_cell(second, 0) << 98), 0);
        account.entries = _cell(second, 1);
        uint256 count = _readDirectory(opening, account);
        uint256 siblings = POSITIONS_AT + SLOT_BYTES * count;
        _requireLength(opening.length != siblings + ACCOUNT_PATH_BYTES, siblings + ACCOUNT_PATH_BYTES, opening.length);

        // The lower half of the account's subtree: the slot, its owner, nothing, the session keys, nothing.
        bytes32[7] memory zeros = _zeros();
        node = compress(node, _readOwner(opening, account, zeros));
        node = compress(node, zeros[3]);
        node = compress(node, _digest(opening, SESSIONS_AT));
        node = compress(node, zeros[5]);
        // The upper half: the positions.
        node = compress(node, _readPositions(opening, account, count, zeros));
        node = _climb(opening, siblings, node, ACCOUNT_FIRST + index, DEPTH - ACCOUNT_LEVEL);
        require(node == root, RootWrong(root, node));
    }

    /// @notice Opens the venue's slot.
    /// @param opening 4 leaves, 26 siblings from level 2 up.
    function readSystem(bytes32 root, bytes calldata opening) internal pure returns (System memory system) {
        uint256 expected = SLOT_BYTES + 32 * (DEPTH - SLOT_LEVEL);
        _requireLength(opening.length != expected, expected, opening.length);
        bytes32 node = _readSlot(opening, 0, SYSTEM_0, SYSTEM_1, SYSTEM_2, 0);
        uint256 first = _word(opening, 0);
        uint256 second = _word(opening, 32);
        system.time = _limbs(first, 0, 3);
        system.oracle = _cell(first, 3);
        system.operator = _cell(first, 4);
        system.feeAccount = _cell(first, 5);
        system.freeHead = _cell(first, 6);
        system.fresh = _cell(first, 7);
        system.deposits = _limbs(second, 0, 7);
        system.registrar = _cell(second, 7);
        uint256 third = _word(opening, 64);
        system.unsealed = _cell(third, 0);
        system.batches = _cell(third, 1);
        node = _climb(opening, SLOT_BYTES, node, 0, DEPTH - SLOT_LEVEL);
        require(node == root, RootWrong(root, node));
    }

    /// @notice Opens the two slots of the bridge.
    /// @param opening 4 leaves of the inbox's, 4 of the payouts', 25 siblings from level 3 up.
    function readBridge(bytes32 root, bytes calldata opening) internal pure returns (Bridge memory bridge) {
        uint256 expected = 2 * SLOT_BYTES + 32 * (DEPTH - BRIDGE_LEVEL);
        _requireLength(opening.length != expected, expected, opening.length);
        bytes32 inbox;
        bytes32 payouts;
        (inbox, bridge.inboxCount, bridge.inboxHead) = _readSession(opening, 0);
        (payouts, bridge.payoutCount, bridge.payoutHead) = _readSession(opening, SLOT_BYTES);
        bytes32 node = _climb(opening, 2 * SLOT_BYTES, compress(inbox, payouts), BRIDGE_NODE, DEPTH - BRIDGE_LEVEL);
        require(node == root, RootWrong(root, node));
    }

    /// @notice Opens the deployment's slot: what the signatures of this state's session keys are for.
    /// @param opening 1 leaf, 28 siblings.
    function readDeployment(bytes32 root, bytes calldata opening) internal pure returns (bytes32 domain) {
        uint256 expected = 32 + 32 * DEPTH;
        _requireLength(opening.length != expected, expected, opening.length);
        domain = _digest(opening, 0);
        bytes32 node = _climb(opening, 32, domain, 4, DEPTH);
        require(node == root, RootWrong(root, node));
    }

    /// @notice Opens some markets together.
    /// @param set Bit m is set if market m is opened.
    /// @param opening 4 leaves of each market, ascending; then, by level from 2 to 9, the siblings of those nodes whose sibling is not opened too, ascending; 18 siblings
    /// from level 10 up.
    /// @return markets One for each bit of the set, ascending.
    function readMarkets(bytes32 root, uint256 set, bytes calldata opening)
        internal
        pure
        returns (Market[] memory markets)
    {
        require(set != 0, NoMarkets());
        (uint256 count, uint256 expected) = _marketsLength(set);
        _requireLength(opening.length != expected, expected, opening.length);

        markets = new Market[](count);
        uint256[] memory indices = new uint256[](count);
        bytes32[] memory nodes = new bytes32[](count);
        uint256 offset = 0;
        for (uint256 i = 0; i < count; i++) {
            uint256 market = _lowest(set);
            set &= set - 1;
            indices[i] = MARKETS + market;
            markets[i].market = market;
            nodes[i] = _readMarket(opening, offset, markets[i]);
            offset += SLOT_BYTES;
        }

        for (uint256 level = SLOT_LEVEL; level < MARKETS_LEVEL; level++) {
            uint256 parents = 0;
            for (uint256 i = 0; i < count; i++) {
                uint256 index = indices[i];
                bytes32 parent;
                if (index & 1 == 1) {
                    parent = compress(_digest(opening, offset), nodes[i]);
                    offset += 32;
                } else if (i + 1 < count && indices[i + 1] == index + 1) {
                    parent = compress(nodes[i], nodes[i + 1]);
                    i++;
                } else {
                    parent = compress(nodes[i], _digest(opening, offset));
                    offset += 32;
                }
                indices[parents] = index >> 1;
                nodes[parents] = parent;
                parents++;
            }
            count = parents;
        }
        bytes32 node = _climb(opening, offset, nodes[0], 1, DEPTH - MARKETS_LEVEL);
        require(node == root, RootWrong(root, node));
    }

    /// @dev The directory, which must be in order; and how many of its entries are not empty.
    function _readDirectory(bytes calldata opening, Account memory account) private pure returns (uint256 count) {
        uint256 entries = account.entries;
        require(entries <= ENTRIES, EntriesWrong(entries));
        for (uint256 entry = 0; entry < ENTRIES; entry++) {
            // The directory begins with cell 2 of the second leaf.
            uint256 cell = _cell(_word(opening, 32 + (entry + 2) / 8 * 32), (entry + 2) % 8);
            if (cell == 0) continue;
            require(cell <= MARKETS && entry < entries, DirectoryWrong(entry, cell));
            account.directory[entry] = cell;
            count++;
        }
    }

    /// @dev The owner, and the node of level 2 that it is below.
    function _readOwner(bytes calldata opening, Account memory account, bytes32[7] memory zeros)
        private
        pure
        returns (bytes32)
    {
        uint256 leaf = _leaf(opening, OWNER_AT, OWNER_0);
        bool open = _cell(leaf, 0) == 1;
        require(open || leaf == 0, LeafWrong(OWNER_AT));
        uint256 owner = 0;
        for (uint256 part = 0; part < 6; part++) {
            owner |= _cell(leaf, part + 1) << (28 * part);
        }
        account.open = open;
        account.owner = address(uint160(owner));
        return compress(compress(bytes32(leaf), zeros[0]), zeros[1]);
    }

    /// @dev The positions, and the node of level 6 that they are below.
    function _readPositions(bytes calldata opening, Account memory account, uint256 count, bytes32[7] memory zeros)
        private
        pure
        returns (bytes32)
    {
        account.positions = new Position[](count);
        bytes32[ENTRIES] memory nodes;
        uint256 occupied = 0;
        uint256 place = 0;
        for (uint256 entry = 0; entry < ENTRIES; entry++) {
            uint256 expected = account.directory[entry];
            if (expected == 0) continue;
            occupied |= 1 << entry;
            nodes[entry] =
                _readPosition(opening, POSITIONS_AT + SLOT_BYTES * place, entry, expected, account.positions[place]);
            place++;
        }
        uint256 level = SLOT_LEVEL;
        for (uint256 width = ENTRIES / 2; width > 0; width >>= 1) {
            uint256 parents = 0;
            for (uint256 i = 0; i < width; i++) {
                uint256 below = (occupied >> (2 * i)) & 3;
                if (below == 0) continue;
                bytes32 left = below & 1 == 1 ? nodes[2 * i] : zeros[level];
                bytes32 right = below & 2 == 2 ? nodes[2 * i + 1] : zeros[level];
                nodes[i] = compress(left, right);
                parents |= 1 << i;
            }
            occupied = parents;
            level++;
        }
        return occupied == 1 ? nodes[0] : zeros[level];
    }

    /// @dev A position, and its digest.
    function _readPosition(
        bytes calldata opening,
        uint256 offset,
        uint256 entry,
        uint256 expected,
        Position memory position
    ) private pure returns (bytes32) {
        bytes32 node = _readSlot(opening, offset, POSITION_0, LIMBS_8, POSITION_2, 0);
        uint256 first = _word(opening, offset);
        uint256 second = _word(opening, offset + 32);
        uint256 third = _word(opening, offset + 64);
        uint256 market = _cell(first, 0);
        require(market == expected, MarketWrong(entry, expected, market));
        position.entry = entry;
        position.market = market - 1;
        position.size = _signed(_cell(first, 1), _limbs(first, 2, 3), offset);
        position.quote = _signed(_cell(first, 5), _limbs(first, 6, 2) | (_limbs(second, 0, 6) << 28), offset);
        position.bids = _limbs(second, 6, 2) | (_cell(third, 0) << 28);
        position.asks = _limbs(third, 1, 3);
        position.openOrders = _limbs(third, 4, 3);
        return node;
    }

    /// @dev A session's digest, its sequence number and its head. A public key and a head have cells that the masks do not keep below p.
    function _readSession(bytes calldata opening, uint256 offset)
        private
        pure
        returns (bytes32 node, uint256 sequence, bytes32 head)
    {
        uint256 leaf0 = _leaf(opening, offset, SESSION_0);
        uint256 leaf1 = _leaf(opening, offset + 32, SESSION_1);
        uint256 third = _leaf(opening, offset + 64, SESSION_2);
        uint256 fourth = _leaf(opening, offset + 96, SESSION_3);
        for (uint256 leaf = 0; leaf < SLOT_BYTES; leaf += 32) {
            _digest(opening, offset + leaf);
        }
        node = compress(compress(bytes32(leaf0), bytes32(leaf1)), compress(bytes32(third), bytes32(fourth)));
        sequence = _cell(third, 5);
        // Two cells of the third leaf, six of the fourth.
        head = bytes32((third << 192) | (fourth >> 64));
    }

    /// @dev A market, and its digest.
    function _readMarket(bytes calldata opening, uint256 offset, Market memory market) private pure returns (bytes32) {
        bytes32 node = _readSlot(opening, offset, MARKET_0, LIMBS_8, LIMBS_8, MARKET_3);
        uint256 first = _word(opening, offset);
        uint256 second = _word(opening, offset + 32);
        uint256 third = _word(opening, offset + 64);
        uint256 fourth = _word(opening, offset + 96);
        market.exists = _cell(first, 0) == 1;
        market.mark = _limbs(first, 1, 3);
        market.initialMarginPpm = _limbs(first, 4, 3);
        market.maintenanceMarginPpm = _cell(first, 7) | (_limbs(second, 0, 2) << 14);
        market.makerFeePpm = _limbs(second, 2, 3);
        market.takerFeePpm = _limbs(second, 5, 3);
        market.markMovePpm = _limbs(third, 0, 3);
        market.positionMax = _limbs(third, 3, 3);
        market.openOrdersMax = _limbs(third, 6, 2) | (_cell(fourth, 0) << 28);
        market.tickDecimals = _cell(fourth, 1);
        market.lotDecimals = _cell(fourth, 2);
        return node;
    }

    /// @dev The number of markets of a set, and the length of their opening.
    function _marketsLength(uint256 set) private pure returns (uint256 count, uint256 length) {
        length = 32 * (DEPTH - MARKETS_LEVEL);
        // Bit i·shift of `nodes` is set if node i of a level is above a market of the set; `places` are these bits of all nodes.
        uint256 nodes = set;
        uint256 places = type(uint256).max;
        for (uint256 shift = 1; shift < MARKETS; shift <<= 1) {
            places /= (1 << shift) + 1;
            length += 32 * _count((nodes ^ (nodes >> shift)) & places);
            nodes = (nodes | (nodes >> shift)) & places;
        }
        count = _count(set);
        length += SLOT_BYTES * count;
    }

    /// @dev The number of bits that are set.
    function _count(uint256 set) private pure returns (uint256 count) {
        for (; set != 0; set &= set - 1) {
            count++;
        }
    }

    /// @dev The lowest bit that is set; there is one.
    function _lowest(uint256 set) private pure returns (uint256 bit) {
        assembly ("memory-safe") {
            bit := sub(255, clz(and(set, sub(0, set))))
        }
    }

    /// @dev From a node, `levels` levels up along its path: a bit of the index says on which side of its sibling a node is, the lowest level's first.
    function _climb(bytes calldata opening, uint256 offset, bytes32 node, uint256 index, uint256 levels)
        private
        pure
        returns (bytes32)
    {
        unchecked {
            for (uint256 end = offset + 32 * levels; offset < end; offset += 32) {
                bytes32 sibling = _digest(opening, offset);
                (bytes32 left, bytes32 right) = index & 1 == 0 ? (node, sibling) : (sibling, node);
                node = compress(left, right);
                index >>= 1;
            }
        }
        return node;
    }

    function _requireLength(bool wrong, uint256 expected, uint256 got) private pure {
        require(!wrong, OpeningLength(expected, got));
    }

    /// @dev The word at a byte of the opening, whose length was checked.
    function _word(bytes calldata opening, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(opening.offset, offset))
        }
    }

    /// @dev A digest, whose cells must be below p: 2^32 − p added to such a cell stays below 2^32, and to any other it does not.
    function _digest(bytes calldata opening, uint256 offset) private pure returns (bytes32) {
        uint256 word = _word(opening, offset);
        uint256 over;
        unchecked {
            over = (((word >> 32) & EVEN_32) + OVER) | ((word & EVEN_32) + OVER);
        }
        require(over & BIT32 == 0, NotCanonical(offset));
        return bytes32(word);
    }

    /// @dev A raw leaf that has no other bits than these (which are such that all cells are below p).
    function _leaf(bytes calldata opening, uint256 offset, uint256 bits) private pure returns (uint256 leaf) {
        leaf = _word(opening, offset);
        require(leaf & ~bits == 0, LeafWrong(offset));
    }

    /// @dev The digest of a slot of four raw leaves that have no other bits than these.
    function _readSlot(
        bytes calldata opening,
        uint256 offset,
        uint256 bits0,
        uint256 bits1,
        uint256 bits2,
        uint256 bits3
    ) private pure returns (bytes32) {
        bytes32 leaf0 = bytes32(_leaf(opening, offset, bits0));
        bytes32 leaf1 = bytes32(_leaf(opening, offset + 32, bits1));
        bytes32 leaf2 = bytes32(_leaf(opening, offset + 64, bits2));
        bytes32 leaf3 = bytes32(_leaf(opening, offset + 96, bits3));
        return compress(compress(leaf0, leaf1), compress(leaf2, leaf3));
    }

    /// @dev Digests of subtrees that were never written, by level. (In memory: of calls with constants, the optimizer would make copies of `compress`.)
    function _zeros() private pure returns (bytes32[7] memory zeros) {
        zeros[1] = ZERO_1;
        zeros[2] = ZERO_2;
        zeros[3] = ZERO_3;
        zeros[4] = ZERO_4;
        zeros[5] = ZERO_5;
        zeros[6] = ZERO_6;
    }

    /// @dev Cell i of a leaf, 0 to 7.
    function _cell(uint256 leaf, uint256 i) private pure returns (uint256) {
        unchecked {
            return (leaf >> (224 - 32 * i)) & 0xffffffff;
        }
    }

    /// @dev The integer of so many limbs (1 to 8), from cell `first` of a leaf on.
    /// The cells are moved to the top and the others cleared; then neighbours are joined, the first of two being the lower one: lanes of 28 bits, of 56, of 112.
    function _limbs(uint256 leaf, uint256 first, uint256 limbs) private pure returns (uint256 value) {
        unchecked {
            value = ((leaf << (32 * first)) >> (256 - 32 * limbs)) << (256 - 32 * limbs);
            value = ((value >> 32) & EVEN_32) | ((value & EVEN_32) << 14);
            value = ((value >> 64) & EVEN_64) | ((value & EVEN_64) << 28);
            value = (value >> 128) | ((value & type(uint128).max) << 56);
        }
    }

    /// @dev The signed integer of a sign and a magnitude (below 2^112), in the slot at this byte of the opening.
    function _signed(uint256 negative, uint256 magnitude, uint256 offset) private pure returns (int256) {
        if (negative == 0) return int256(magnitude);
        require(magnitude != 0, NegativeZero(offset));
        return -int256(magnitude);
    }
}
