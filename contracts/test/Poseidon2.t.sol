// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {P} from "../src/Field.sol";
import {compress} from "../src/Poseidon2.sol";

interface Vm {
    function readLine(string calldata path) external view returns (string memory line);
    function split(string calldata input, string calldata delimiter) external pure returns (string[] memory outputs);
    function parseBytes32(string calldata value) external pure returns (bytes32 parsed);
}

/// @dev The compression against the definition of Poseidon2, step by step, and against the golden vectors of `holdfast_crypto`. The Rust tests
/// (`exchange/tests/opening.rs`) compare it with its twin, in openings.
contract Poseidon2Test {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant VECTORS = 5;

    /// @dev Round constants of p3_baby_bear, BABYBEAR_RC16_EXTERNAL_INITIAL, _INTERNAL and _EXTERNAL_FINAL, a cell in four bytes.
    bytes private constant INITIAL = hex"69cbb6af46ad93f960a00f4e6b1297cd23189afe732e7bef72c246de2c941900"
        hex"0557eede1580496f3a3ea77b54f3f2710f49b02947872fe1221e2e361ab7202e"
        hex"487779a63851c9d838dc17c0209f8849268dcee8350c48da5b9ad32e0523272b"
        hex"3f89055b01e894b213ddedde1b2ef3347507d8b46ceeb94e52eb6ba250642905"
        hex"05453f3f06349efc6922787c04bfff9c768c714a3e9ff21a15737c9c2229c807"
        hex"0d47f88c097e0ecc27eadba02d7d29e43502aaa00f475fd729fbda49018afffd"
        hex"0315b6186d4497d11b171d9e52861abd2e5d05013ec8646c6e5f250a148ae8e6"
        hex"17f5fa4a3e66d2840051aa3b483f79132cfe5f15023427ca2cc783151e36ea47";
    bytes private constant INTERNAL = hex"5a8053c0693be6393858867d19334f6b128f0fd84e2b1ccb61210ce03c318939"
        hex"0b5b2f222edb11d5213effdf0cac4606241af16d";
    bytes private constant FINAL = hex"7290a80d6f7e5329598ec8a876a859a06559e868657b83af13271d3f1f876063"
        hex"0aeeae37706e9ca646400cee72a05c262c589c9e20bd37a76a2d3d1020523767"
        hex"5b8fe9c42aa501d61e01ac3e1448bc545ce5ad1c4918a14d2c46a83f4fcf6876"
        hex"61d8d5c86ddf4ff911fda4d302933a8f170eaf815a9c314f49a1259035ec52a1"
        hex"58eb16115e481e65367125c90eba33ba1fc28ded066399ad0cbec0ea75fd1af0"
        hex"50f5bf4e643d5f416f4fe7185b3cbbde1e3afb3e296fb02745e1547b4a8db2ab"
        hex"59986d1930bcdfa31db639321d7c282453b336810673b747038a98a32c5bce60"
        hex"351979cd5008fb73547bca78711af4813f93bf64644d987b3c8bcd87608758b8";

    function _constant(bytes memory constants, uint256 index) private pure returns (uint256 cell) {
        for (uint256 i = 0; i < 4; i++) {
            cell = (cell << 8) | uint8(constants[4 * index + i]);
        }
    }

    function _power7(uint256 x) private pure returns (uint256) {
        uint256 cube = mulmod(mulmod(x, x, P), x, P);
        return mulmod(mulmod(cube, cube, P), x, P);
    }

    function _inverse(uint256 x) private pure returns (uint256 r) {
        r = 1;
        for (uint256 e = P - 2; e > 0; e >>= 1) {
            if (e & 1 == 1) r = mulmod(r, x, P);
            x = mulmod(x, x, P);
        }
    }

    /// @dev circ(2, 1, 1, 1) of blocks circ(2, 3, 1, 1).
    function _external(uint256[16] memory x) private pure {
        uint8[4] memory block4 = [2, 3, 1, 1];
        uint256[16] memory y;
        for (uint256 row = 0; row < 16; row++) {
            for (uint256 column = 0; column < 16; column++) {
                uint256 entry = block4[(column + 16 - row) % 4];
                if (row / 4 == column / 4) entry *= 2;
                y[row] = addmod(y[row], mulmod(entry, x[column], P), P);
            }
        }
        for (uint256 i = 0; i < 16; i++) {
            x[i] = y[i];
        }
    }

    function _internal(uint256[16] memory x) private pure {
        uint256 half = _inverse(2);
        uint256 small = _inverse(1 << 27);
        uint256[16] memory diagonal = [
            P - 2,
            1,
            2,
            half,
            3,
            4,
            P - half,
            P - 3,
            P - 4,
            _inverse(1 << 8),
            _inverse(1 << 2),
            _inverse(1 << 3),
            small,
            P - _inverse(1 << 8),
            P - _inverse(1 << 4),
            P - small
        ];
        uint256 sum = 0;
        for (uint256 i = 0; i < 16; i++) {
            sum = addmod(sum, x[i], P);
        }
        for (uint256 i = 0; i < 16; i++) {
            x[i] = addmod(sum, mulmod(diagonal[i], x[i], P), P);
        }
    }

    function _full(uint256[16] memory x, bytes memory constants, uint256 round) private pure {
        for (uint256 i = 0; i < 16; i++) {
            x[i] = _power7(addmod(x[i], _constant(constants, 16 * round + i), P));
        }
        _external(x);
    }

    function _cell(bytes32 digest, uint256 i) private pure returns (uint256) {
        return (uint256(digest) >> (224 - 32 * i)) & 0xffffffff;
    }

    function _naive(bytes32 left, bytes32 right) private pure returns (bytes32) {
        uint256[16] memory x;
        for (uint256 i = 0; i < 8; i++) {
            x[i] = _cell(left, i);
            x[i + 8] = _cell(right, i);
        }
        _external(x);
        for (uint256 round = 0; round < 4; round++) {
            _full(x, INITIAL, round);
        }
        for (uint256 round = 0; round < 13; round++) {
            x[0] = _power7(addmod(x[0], _constant(INTERNAL, round), P));
            _internal(x);
        }
        for (uint256 round = 0; round < 4; round++) {
            _full(x, FINAL, round);
        }
        uint256 digest = 0;
        for (uint256 i = 0; i < 8; i++) {
            digest = (digest << 32) | addmod(x[i], _cell(left, i), P);
        }
        return bytes32(digest);
    }

    /// @dev A digest whose cells are 0, 1 or p − 1 now and then.
    function _digest(uint256 seed) private pure returns (bytes32) {
        uint256 digest = 0;
        for (uint256 i = 0; i < 8; i++) {
            uint256 word = uint256(keccak256(abi.encode(seed, i)));
            uint256 cell = word % 5 == 0 ? P - 1 : word % 7 == 0 ? word % 2 : (word >> 8) % P;
            digest = (digest << 32) | cell;
        }
        return bytes32(digest);
    }

    /// @dev A digest as eight cells of which each has its least significant byte first, as the vectors have it.
    function _parse(string memory digits) private pure returns (bytes32) {
        bytes32 reversed = VM.parseBytes32(string.concat("0x", digits));
        uint256 digest = 0;
        for (uint256 i = 0; i < 32; i++) {
            digest = (digest << 8) | uint8(reversed[i / 4 * 4 + 3 - i % 4]);
        }
        return bytes32(digest);
    }

    function testFuzzIsTheDefinition(uint256 left, uint256 right) external pure {
        (bytes32 l, bytes32 r) = (_digest(left), _digest(right));
        assert(compress(l, r) == _naive(l, r));
    }

    function testExtremes() external pure {
        bytes32 most = bytes32((P - 1) * 0x0000000100000001000000010000000100000001000000010000000100000001);
        bytes32[3] memory digests = [bytes32(0), most, bytes32(uint256(most) << 128)];
        for (uint256 i = 0; i < 9; i++) {
            assert(compress(digests[i / 3], digests[i % 3]) == _naive(digests[i / 3], digests[i % 3]));
        }
    }

    function testVectors() external view {
        for (uint256 i = 0; i < VECTORS; i++) {
            string[] memory parts = VM.split(VM.readLine("../crates/crypto/tests/vectors/crypto.txt"), " ");
            assert(keccak256(bytes(parts[0])) == keccak256("compress"));
            assert(compress(_parse(parts[1]), _parse(parts[2])) == _parse(parts[3]));
        }
    }

    /// @dev No more gas than an opening's budget rests on.
    function testGas() external view {
        (bytes32 l, bytes32 r) = (_digest(1), _digest(2));
        uint256 before = gasleft();
        bytes32 digest = compress(l, r);
        uint256 used = before - gasleft();
        assert(digest != 0 && used < 15_000);
    }
}
