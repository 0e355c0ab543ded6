// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext, ONE, P, ZERO, canonical, equal, fpow, reduce, rootOfUnity, square} from "../src/Field.sol";
import {Vector} from "../src/Key.sol";
import {cubicAt, eqUni, eqUniAtOne, interpolateAt, quadraticAt, squareTimes} from "../src/Polynomial.sol";

contract PolynomialTest {
    function _element(uint256 seed) private pure returns (Ext) {
        uint256 mask = type(uint64).max;
        uint256 w = uint256(keccak256(abi.encode(seed)));
        return Ext.wrap(
            ((w & mask) % P) | ((((w >> 64) & mask) % P) << 64) | ((((w >> 128) & mask) % P) << 128)
                | (((w >> 192) % P) << 192)
        );
    }

    /// @dev Value of the polynomial with these coefficients.
    function _horner(Ext[] memory c, Ext x) private pure returns (Ext value) {
        value = ZERO;
        for (uint256 i = c.length; i > 0; i--) {
            value = reduce(value * x + c[i - 1]);
        }
    }

    function _polynomial(uint256 seed, uint256 degree) private pure returns (Ext[] memory c) {
        c = new Ext[](degree + 1);
        for (uint256 i = 0; i <= degree; i++) {
            c[i] = _element(uint256(keccak256(abi.encode(seed, i))));
        }
    }

    function testFuzzInterpolationGivesThePolynomial(uint256 seed) external pure {
        Ext x = _element(~seed);
        for (uint256 degree = 1; degree <= 7; degree++) {
            Ext[] memory c = _polynomial(seed, degree);
            Ext[] memory e = new Ext[](degree + 1);
            for (uint256 i = 0; i <= degree; i++) {
                e[i] = canonical(_horner(c, Ext.wrap(i)));
            }
            Vector v;
            assembly ("memory-safe") {
                v := add(e, 32)
            }
            Ext expected = _horner(c, x);
            if (degree == 2) require(equal(quadraticAt(e[0], e[1], e[2], x), expected), "quadratic");
            if (degree == 3) require(equal(cubicAt(e[0], e[1], e[2], e[3], x), expected), "cubic");
            require(equal(interpolateAt(v, degree, x), expected), "any degree");
        }
    }

    function testEqOnTheGroup() external pure {
        for (uint256 bits = 0; bits < 4; bits++) {
            uint256 root = rootOfUnity(bits);
            for (uint256 i = 0; i < 1 << bits; i++) {
                for (uint256 j = 0; j < 1 << bits; j++) {
                    Ext eq = eqUni(bits, Ext.wrap(fpow(root, i)), Ext.wrap(fpow(root, j)));
                    require(equal(eq, i == j ? ONE : ZERO), "eq");
                }
                Ext one = eqUniAtOne(bits, Ext.wrap(fpow(root, i)));
                require(equal(one, i == 0 ? ONE : ZERO), "eq at one");
            }
        }
    }

    function testFuzzEqAtOneIsEqAtOne(uint256 seed) external pure {
        Ext x = _element(seed);
        for (uint256 bits = 0; bits < 5; bits++) {
            require(equal(eqUniAtOne(bits, x), eqUni(bits, x, ONE)), "eq at one");
        }
        require(equal(squareTimes(x, 3), square(square(square(x)))), "squares");
    }
}
