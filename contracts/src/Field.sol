// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title The field of the proof and its extension.
/// @notice F is the integers modulo p = 15·2^27 + 1 (BabyBear). EF = F[x]/(x^4 − 11).
///
/// An element of EF is one word of four lanes of 64 bits; lane i (lane 0 is the least significant) holds the coefficient of x^i,
/// as an integer that need not be reduced. An element of F is the same word with one lane, or a plain scalar.
///
/// **Why this works.** Put X = 2^64. Words are polynomials in X, and X^4 = 2^256 ≡ 11 modulo N = 2^256 − 11. So `mulmod(a, b, N)` is
/// the product of the polynomials modulo X^4 − 11, exactly, as long as no lane of the result overflows: a lane is at most a sum
/// of four products, of which three have weight 11, so 34·A·B for lanes at most A and B.
///
/// **Bounds.** Lanes are "lazy". Every function says what it wants and what it gives, in units of p:
///   - *canonical*: lanes < p, as read from a proof or drawn from the transcript;
///   - `mul` wants lanes < 2^37 (68 p) and gives lanes < 1.18 p;
///   - `add` adds bounds; `sub` wants a subtrahend of at most 16 p, and adds 16 p to the bound of the minuend;
///   - `reduce` wants lanes < 4.26 p² (more than 2^63.9) and gives lanes < 3.55 p; `scale` wants lanes < 4.26 p and a scalar < p, and
///     gives lanes < 3.55 p.
type Ext is uint256;

using {add as +, sub as -, mul as *} for Ext global;

/// @dev The modulus of F.
uint256 constant P = 0x78000001;
/// @dev 2^256 − 11, modulo which 2^64 is a fourth root of 11.
uint256 constant N = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff5;
/// @dev 16 p in every lane.
uint256 constant P16 = 0x0000000780000010000000078000001000000007800000100000000780000010;
/// @dev 4 p in every lane.
uint256 constant P4 = 0x00000001e000000400000001e000000400000001e000000400000001e0000004;
/// @dev 2^29·p in every lane.
uint256 constant P_SHIFTED = 0x0f000000200000000f000000200000000f000000200000000f00000020000000;
/// @dev 2^32 − p in every lane: added to a lane below 2^32, it sets bit 32 if and only if the lane is at least p.
uint256 constant OVER = 0x0000000087ffffff0000000087ffffff0000000087ffffff0000000087ffffff;
/// @dev Bit 32 of every lane.
uint256 constant BIT32 = 0x0000000100000000000000010000000000000001000000000000000100000000;
/// @dev The low 16 bits of every lane.
uint256 constant M16 = 0x000000000000ffff000000000000ffff000000000000ffff000000000000ffff;
/// @dev The low 29 bits of every lane.
uint256 constant M29 = 0x000000001fffffff000000001fffffff000000001fffffff000000001fffffff;
/// @dev The low 33 bits of every lane.
uint256 constant M33 = 0x00000001ffffffff00000001ffffffff00000001ffffffff00000001ffffffff;
/// @dev The low 36 bits of every lane.
uint256 constant M36 = 0x0000000fffffffff0000000fffffffff0000000fffffffff0000000fffffffff;
/// @dev The low 41 bits of every lane.
uint256 constant M41 = 0x000001ffffffffff000001ffffffffff000001ffffffffff000001ffffffffff;
/// @dev 2^57 modulo p.
uint256 constant C57 = 465_288_124;
/// @dev ⌊2^62 / p⌋, the multiplier of both Barrett reductions.
uint256 constant BARRETT = 2_290_649_223;

Ext constant ZERO = Ext.wrap(0);
Ext constant ONE = Ext.wrap(1);

/// @notice a + b. Bounds add up; a lane must stay below 2^64.
function add(Ext a, Ext b) pure returns (Ext r) {
    assembly {
        r := add(a, b)
    }
}

/// @notice a − b, for b of at most 16 p. The bound is that of a, and 16 p.
function sub(Ext a, Ext b) pure returns (Ext r) {
    assembly {
        r := add(a, sub(P16, b))
    }
}

/// @notice a·b, for lanes of both below 2^37. Lanes of the result are below 1.18 p.
/// @dev With b = b0 + 2^16·b1 (b0 < 2^16, b1 < 2^21 in every lane):
///   lo = a·b0 < 34·2^37·2^16 < 2^58.1 and hi = a·b1 < 34·2^37·2^21 < 2^63.1, so both products are exact, and a·b = lo + 2^16·hi;
///   with hi = h0 + 2^41·h1 (h0 < 2^41, h1 < 2^22.1), t = lo + 2^16·h0 + (2^57 mod p)·h1 < 2^58.1 + 2^57 + 2^51 < 2^58.66.
/// Barrett: q = ⌊⌊t/2^28⌋·⌊2^62/p⌋ / 2^34⌋, whose inner product is below 2^(30.66 + 31.1) and hence does not leave its lane.
///   q ≤ t/p, and t/p − q < 2^28/p + 2^(30.66 − 34)·frac(2^62/p) + 1 < 1.18, so t − q·p is in [0, 1.18 p).
function mul(Ext a, Ext b) pure returns (Ext r) {
    assembly {
        let b0 := and(b, M16)
        let hi := mulmod(a, shr(16, xor(b, b0)), N)
        let h0 := and(hi, M41)
        let t := add(add(mulmod(a, b0, N), shl(16, h0)), mul(shr(41, xor(hi, h0)), C57))
        r := sub(t, mul(and(shr(34, mul(and(shr(28, t), M36), BARRETT)), M29), P))
    }
}

/// @notice The same element with lanes below 3.55 p, for lanes below 4.26 p² (which is more than 2^63.9).
/// @dev Barrett: q = ⌊⌊t/2^31⌋·⌊2^62/p⌋ / 2^31⌋; the inner product is below 4.26 p²/2^31·2^62/p = 4.26·p·2^31 < 2^64; q ≤ t/p, and
///   t/p − q < 2^31/p + (4.26 p²/2^62)·frac(2^62/p) + 1 < 3.55; or 2.47, if t < 2^62.
function reduce(Ext a) pure returns (Ext r) {
    assembly {
        r := sub(a, mul(and(shr(31, mul(and(shr(31, a), M33), BARRETT)), M33), P))
    }
}

/// @notice a·s, for lanes of a below 4.26 p and a scalar s < p. The lanes of the result are below 3.55 p.
function scale(Ext a, uint256 s) pure returns (Ext r) {
    assembly {
        let t := mul(a, s)
        r := sub(t, mul(and(shr(31, mul(and(shr(31, t), M33), BARRETT)), M33), P))
    }
}

/// @notice a·s + b, for lanes of a below 4.25 p, a scalar s < p and lanes of b below 2^37. The lanes of the result are below 3.55 p.
function scaleAdd(Ext a, uint256 s, Ext b) pure returns (Ext r) {
    assembly {
        let t := add(mul(a, s), b)
        r := sub(t, mul(and(shr(31, mul(and(shr(31, t), M33), BARRETT)), M33), P))
    }
}

/// @notice a², with the bounds of `mul`.
function square(Ext a) pure returns (Ext) {
    return a * a;
}

/// @notice The canonical form of a: all lanes below p.
function canonical(Ext a) pure returns (Ext r) {
    assembly {
        let m := 0xffffffffffffffff
        r := mod(and(a, m), P)
        r := or(r, shl(64, mod(and(shr(64, a), m), P)))
        r := or(r, shl(128, mod(and(shr(128, a), m), P)))
        r := or(r, shl(192, mod(shr(192, a), P)))
    }
}

/// @notice Whether a is zero in EF, for any lanes.
function isZero(Ext a) pure returns (bool) {
    return Ext.unwrap(canonical(a)) == 0;
}

/// @notice Whether a = b in EF, for b of at most 16 p.
function equal(Ext a, Ext b) pure returns (bool) {
    return isZero(a - b);
}

/// @notice 1 − a, for a of at most 16 p; the bound is 16 p and 1.
function complement(Ext a) pure returns (Ext r) {
    assembly {
        r := add(1, sub(P16, a))
    }
}

/// @notice a + s for a scalar s < p, in lane 0.
function addScalar(Ext a, uint256 s) pure returns (Ext r) {
    assembly {
        r := add(a, s)
    }
}

/// @notice a·b in F, canonical for canonical arguments.
function fmul(uint256 a, uint256 b) pure returns (uint256 r) {
    assembly {
        r := mulmod(a, b, P)
    }
}

/// @notice a^e in F.
function fpow(uint256 a, uint256 e) pure returns (uint256 r) {
    assembly {
        r := 1
        for {} e { e := shr(1, e) } {
            if and(e, 1) { r := mulmod(r, a, P) }
            a := mulmod(a, a, P)
        }
    }
}

/// @notice 1/a in F, for a ≠ 0 (and 0 for 0), by Fermat.
function finv(uint256 a) pure returns (uint256) {
    return fpow(a, P - 2);
}

/// @notice 2^(−n) in F.
function halves(uint256 n) pure returns (uint256) {
    return fpow((P + 1) / 2, n);
}

/// @notice The generator of the subgroup of order 2^bits of F that the prover uses, for bits ≤ 27.
function rootOfUnity(uint256 bits) pure returns (uint256 r) {
    // This element generates the subgroup of order 2^27.
    r = 0x1a427a41;
    for (uint256 i = bits; i < 27; i++) {
        r = fmul(r, r);
    }
}

/// @notice eq(x, y) = x·y + (1 − x)(1 − y), for x and y of at most 5 p. The bound is 19 p.
function eqTerm(Ext x, Ext y) pure returns (Ext) {
    Ext xy = x * y;
    return (xy + xy + ONE) - (x + y);
}
