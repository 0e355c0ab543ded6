// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {
    Ext,
    P,
    canonical,
    complement,
    eqTerm,
    finv,
    fmul,
    fpow,
    halves,
    isZero,
    reduce,
    rootOfUnity,
    scale,
    scaleAdd
} from "../src/Field.sol";

/// @dev The functions of Field.sol against the definition, coefficient by coefficient, and against their own bounds.
contract FieldTest {
    uint256 private constant LANE = type(uint64).max;
    /// @dev The greatest lanes that `mul` and `reduce` take.
    uint256 private constant MUL_MAX = 2 ** 37 - 1;
    uint256 private constant REDUCE_MAX = 426 * P * P / 100;

    function _lane(Ext a, uint256 i) private pure returns (uint256) {
        return (Ext.unwrap(a) >> (64 * i)) & LANE;
    }

    function _pack(uint256[4] memory c) private pure returns (Ext) {
        return Ext.wrap(c[0] | (c[1] << 64) | (c[2] << 128) | (c[3] << 192));
    }

    /// @dev An element whose lanes are at most `most`: of four of the seed's words, each is the maximum or zero now and then.
    function _element(uint256 seed, uint256 most) private pure returns (Ext) {
        uint256[4] memory c;
        for (uint256 i = 0; i < 4; i++) {
            uint256 word = uint256(keccak256(abi.encode(seed, i)));
            c[i] = word % 5 == 0 ? most : word % 7 == 0 ? 0 : (word >> 8) % (most + 1);
        }
        return _pack(c);
    }

    function _naive(Ext a, Ext b) private pure returns (Ext) {
        uint256[4] memory c;
        for (uint256 i = 0; i < 4; i++) {
            for (uint256 j = 0; j < 4; j++) {
                uint256 product = mulmod(_lane(a, i), _lane(b, j), P);
                if (i + j >= 4) product *= 11;
                c[(i + j) % 4] = (c[(i + j) % 4] + product) % P;
            }
        }
        return _pack(c);
    }

    function _same(Ext got, Ext expected) private pure {
        require(Ext.unwrap(canonical(got)) == Ext.unwrap(expected), "value");
    }

    /// @dev All lanes at most hundredths·p / 100.
    function _within(Ext a, uint256 hundredths) private pure {
        for (uint256 i = 0; i < 4; i++) {
            require(100 * _lane(a, i) <= hundredths * P, "bound");
        }
    }

    function _checkMul(Ext a, Ext b) private pure {
        Ext got = a * b;
        _within(got, 118);
        _same(got, _naive(a, b));
    }

    function testFuzzMulIsTheProduct(uint256 seed) external pure {
        _checkMul(_element(seed, P - 1), _element(~seed, P - 1));
        _checkMul(_element(seed, MUL_MAX), _element(~seed, MUL_MAX));
        _checkMul(_element(seed, MUL_MAX), _element(~seed, P - 1));
        _checkMul(_element(seed, 2 * P), _element(~seed, MUL_MAX));
    }

    function testMulOfTheGreatestLanes() external pure {
        uint256[7] memory extremes = [0, 1, P - 1, P, 2 ** 16 - 1, MUL_MAX - 0xffff, MUL_MAX];
        for (uint256 i = 0; i < 7; i++) {
            for (uint256 j = 0; j < 7; j++) {
                Ext a = _pack([extremes[i], extremes[i], extremes[i], extremes[i]]);
                Ext b = _pack([extremes[j], extremes[j], extremes[j], extremes[j]]);
                _checkMul(a, b);
                _checkMul(_pack([extremes[i], 0, 0, extremes[j]]), b);
            }
        }
    }

    function _checkReduce(Ext a) private pure {
        Ext got = reduce(a);
        _within(got, 355);
        for (uint256 i = 0; i < 4; i++) {
            require(_lane(got, i) % P == _lane(a, i) % P, "lane");
        }
    }

    function testFuzzReduceKeepsTheElement(uint256 seed) external pure {
        _checkReduce(_element(seed, REDUCE_MAX));
        _checkReduce(_element(seed, 2 ** 62));
        _checkReduce(_element(seed, 64 * P));
    }

    function testReduceOfMultiplesOfThePrimeAndTheirNeighbours() external pure {
        for (uint256 bits = 1; bits < 33; bits++) {
            uint256 multiple = P * ((1 << bits) - 1);
            if (multiple + 1 > REDUCE_MAX) multiple = REDUCE_MAX / P * P - 1;
            _checkReduce(_pack([multiple, multiple - 1, multiple + 1, REDUCE_MAX]));
        }
    }

    function testFuzzScaleIsTheProduct(uint256 seed, uint256 scalar) external pure {
        scalar = scalar % 8 == 0 ? P - 1 : scalar % P;
        Ext a = _element(seed, 426 * P / 100);
        Ext s = Ext.wrap(scalar);
        _within(scale(a, scalar), 355);
        _same(scale(a, scalar), _naive(a, s));
        Ext b = _element(~seed, MUL_MAX);
        a = _element(seed, 425 * P / 100);
        _within(scaleAdd(a, scalar, b), 355);
        _same(scaleAdd(a, scalar, b), canonical(_naive(a, s) + b));
    }

    function testFuzzSubIsTheInverseOfAdd(uint256 seed) external pure {
        Ext a = _element(seed, 32 * P);
        Ext b = _element(~seed, 16 * P);
        require(isZero(((a - b) + b) - reduce(a)), "sub");
        require(isZero((complement(b) + b) - Ext.wrap(1)), "complement");
    }

    function testFuzzEqIsOneForTheSameBitAndZeroForOthers(uint256 seed) external pure {
        Ext x = _element(seed, P - 1);
        _same(eqTerm(x, Ext.wrap(1)), canonical(x));
        _same(eqTerm(x, Ext.wrap(0)), canonical(complement(x)));
    }

    function testFuzzInverse(uint256 a) external pure {
        a = a % (P - 1) + 1;
        require(fmul(a, finv(a)) == 1, "inverse");
    }

    function testRootsOfUnityHaveTheirOrders() external pure {
        require(rootOfUnity(0) == 1 && rootOfUnity(1) == P - 1, "roots");
        for (uint256 bits = 1; bits <= 27; bits++) {
            uint256 root = rootOfUnity(bits);
            require(fpow(root, 1 << (bits - 1)) == P - 1, "order");
            require(fmul(halves(bits), (1 << bits) % P) == 1, "halves");
        }
    }

    function testZeroIsRecognisedInAllItsForms() external pure {
        require(isZero(_pack([0, P, 2 * P, 64 * P])), "zero");
        require(!isZero(_pack([0, P, 2 * P, 64 * P + 1])), "not zero");
        require(!isZero(_pack([uint256(1), 0, 0, 0])), "one");
    }
}
