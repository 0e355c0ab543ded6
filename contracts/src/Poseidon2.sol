// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

// Written by bin/poseidon2.js, which has the constants' source and how the others follow from them: do not change it here.

import {P} from "./Field.sol";

/// @notice The two-to-one compression of the state tree: `P(left ‖ right)[0..8] + left`, with P the Poseidon2 permutation of width 16 over
/// BabyBear (x^7, 4 + 13 + 4 rounds). A digest is eight cells of 32 bits, the first one most significant.
/// @dev The twin of `holdfast_crypto::poseidon2::compress`. The cells must be canonical (below p), which whoever reads them from outside checks; those of
/// the result are. No memory is used but the first word of the scratch space.
///
/// **Full rounds.** Words a to d have four lanes of 64 bits each, cell 0 of a in its most significant lane. Modulo 2^256 − 1, a product with
/// 2 + 3X + X^2 + X^3 (X = 2^64) is the circulant block of the external matrix: the words' sum, added to each word before, makes the matrix of it.
/// Its rows sum to 35, so lanes below p become lanes below 35 p, and below 36 p < 2^37 with the next round's constants. Nothing is reduced there: for
/// x < 2^42, x^6 < 2^252 is exact, and one `mulmod` makes x^7 < p.
///
/// **Partial rounds.** Cell 0 alone goes through an S-box, so the other cells v_i, with entries d_i of the diagonal, are followed by their linear
/// combinations only. With s_r the sum of all cells in round r (below p) and z_r the S-box's result:
///   - s_r = z_r + Σ_i d_i^r v_i + Σ_(k < r) t_(r−1−k) s_k, where t_m = Σ_i d_i^m. The first sum is an inner product with the S-boxes' results before
///     the matrix, four terms a multiplication (lane 3 of the product of two words is one: 4 p² < 2^64, and the lanes below it do not carry). The words
///     g have it in three lanes of 85 bits, one a round from the second on, and every s_k is added to the later ones: 28 p² < 2^67;
///   - the next round's cell 0 is s_r − 2 z_r, with 2 p and the constant added below 4 p;
///   - after the last round, cell i is d_i^13·(v_i + Σ_k d_i^(−k−1) s_k): the sums grow in the words u, three lanes of 85 bits: 36 p + 13 p² < 2^66.
///
/// The `if shr(255, x)` are never taken, since x < 2^34: they keep the compiler from putting off the sums until the stack cannot hold their terms.
function compress(bytes32 left, bytes32 right) pure returns (bytes32 out) {
    assembly ("memory-safe") {
        function power7(a, b, c, d) -> e, f, g, h {
            let x, z
            x := shr(192, a)
            z := mul(x, mul(x, x))
            e := shl(192, mulmod(mul(z, z), x, P))
            x := and(shr(128, a), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            e := add(e, shl(128, mulmod(mul(z, z), x, P)))
            x := and(shr(64, a), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            e := add(e, shl(64, mulmod(mul(z, z), x, P)))
            x := and(a, 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            e := add(e, mulmod(mul(z, z), x, P))
            x := shr(192, b)
            z := mul(x, mul(x, x))
            f := shl(192, mulmod(mul(z, z), x, P))
            x := and(shr(128, b), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            f := add(f, shl(128, mulmod(mul(z, z), x, P)))
            x := and(shr(64, b), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            f := add(f, shl(64, mulmod(mul(z, z), x, P)))
            x := and(b, 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            f := add(f, mulmod(mul(z, z), x, P))
            x := shr(192, c)
            z := mul(x, mul(x, x))
            g := shl(192, mulmod(mul(z, z), x, P))
            x := and(shr(128, c), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            g := add(g, shl(128, mulmod(mul(z, z), x, P)))
            x := and(shr(64, c), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            g := add(g, shl(64, mulmod(mul(z, z), x, P)))
            x := and(c, 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            g := add(g, mulmod(mul(z, z), x, P))
            x := shr(192, d)
            z := mul(x, mul(x, x))
            h := shl(192, mulmod(mul(z, z), x, P))
            x := and(shr(128, d), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            h := add(h, shl(128, mulmod(mul(z, z), x, P)))
            x := and(shr(64, d), 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            h := add(h, shl(64, mulmod(mul(z, z), x, P)))
            x := and(d, 0xffffffffffffffff)
            z := mul(x, mul(x, x))
            h := add(h, mulmod(mul(z, z), x, P))
        }
        let x
        let y
        let z
        let n
        let s
        let a
        a := shr(128, left)
        a := and(or(a, shl(64, a)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        a := and(or(a, shl(32, a)), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
        let b
        b := and(left, 0xffffffffffffffffffffffffffffffff)
        b := and(or(b, shl(64, b)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        b := and(or(b, shl(32, b)), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
        let c
        c := shr(128, right)
        c := and(or(c, shl(64, c)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        c := and(or(c, shl(32, c)), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
        let d
        d := and(right, 0xffffffffffffffffffffffffffffffff)
        d := and(or(d, shl(64, d)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        d := and(or(d, shl(32, d)), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
        // Kept for the end, in the scratch space: the stack is full in between.
        mstore(0, left)
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000069cbb6af0000000046ad93f90000000060a00f4e000000006b1297cd
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000023189afe00000000732e7bef0000000072c246de000000002c941900
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000000557eede000000001580496f000000003a3ea77b0000000054f3f271
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000000f49b0290000000047872fe100000000221e2e36000000001ab7202e
        )
        // Full round 0.
        a, b, c, d := power7(a, b, c, d)
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x00000000487779a6000000003851c9d80000000038dc17c000000000209f8849
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x00000000268dcee800000000350c48da000000005b9ad32e000000000523272b
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000003f89055b0000000001e894b20000000013ddedde000000001b2ef334
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000007507d8b4000000006ceeb94e0000000052eb6ba20000000050642905
        )
        // Full round 1.
        a, b, c, d := power7(a, b, c, d)
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000005453f3f0000000006349efc000000006922787c0000000004bfff9c
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x00000000768c714a000000003e9ff21a0000000015737c9c000000002229c807
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000000d47f88c00000000097e0ecc0000000027eadba0000000002d7d29e4
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000003502aaa0000000000f475fd70000000029fbda4900000000018afffd
        )
        // Full round 2.
        a, b, c, d := power7(a, b, c, d)
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000000315b618000000006d4497d1000000001b171d9e0000000052861abd
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000002e5d0501000000003ec8646c000000006e5f250a00000000148ae8e6
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000017f5fa4a000000003e66d284000000000051aa3b00000000483f7913
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000002cfe5f1500000000023427ca000000002cc78315000000001e36ea47
        )
        // Full round 3.
        a, b, c, d := power7(a, b, c, d)
        // The sums of round r that do not depend on later S-boxes: the products' lane 3 is the inner product with a row.
        s := add(
            add(
                shr(192, mul(a, 0x00000000000000210000000000000021000000000000001d000000000000001f)),
                shr(192, mul(b, 0x0000000000000022000000000000002200000000000000200000000000000021))
            ),
            add(
                shr(192, mul(c, 0x0000000000000022000000000000002200000000000000200000000000000021)),
                shr(192, mul(d, 0x0000000000000022000000000000002200000000000000200000000000000021))
            )
        )
        let g0
        g0 := add(
            add(
                shr(192, mul(a, 0x000000005280001c000000003c00001700000000167fffed0000000070800012)),
                shr(192, mul(b, 0x0000000016800013000000000000001a00000000167ffff6000000007080000e))
            ),
            add(
                shr(192, mul(c, 0x0000000052080011000000002b98000c00000000248fffdd0000000061080006)),
                shr(192, mul(d, 0x0000000069780023000000001068000f000000005aefffcb000000003c78001c))
            )
        )
        g0 := add(
            g0,
            shl(
                85,
                add(
                    add(
                        shr(192, mul(a, 0x00000000025712fa00000000662d322c000000001426240500000000106714ce)),
                        shr(192, mul(b, 0x000000005c57131900000000482d32630000000014262443000000004c671506))
                    ),
                    add(
                        shr(192, mul(c, 0x0000000024169afd00000000734bca310000000028c5342f000000005d469ce9)),
                        shr(192, mul(d, 0x000000003cee9d90000000000b3bcbe20000000031ad37830000000069eea12e))
                    )
                )
            )
        )
        g0 := add(
            g0,
            shl(
                170,
                add(
                    add(
                        shr(192, mul(a, 0x0000000062fe8d4700000000741300a70000000066eb65ad000000002a738ce7)),
                        shr(192, mul(b, 0x0000000035fe8d520000000029130153000000000ceb66580000000066738d03))
                    ),
                    add(
                        shr(192, mul(c, 0x0000000002e68c75000000000716feeb0000000073cf63f30000000054df8be6)),
                        shr(192, mul(d, 0x0000000009151ad4000000000b2201fb0000000075f2cc3500000000577b1a85))
                    )
                )
            )
        )
        let g1
        g1 := add(
            add(
                shr(192, mul(a, 0x000000003a89ec980000000042892068000000005203256b000000003b74e97c)),
                shr(192, mul(b, 0x000000003309ee5a000000003b0923e7000000005203289d000000004a74ec00))
            ),
            add(
                shr(192, mul(c, 0x000000000852ed660000000001d1a143000000005183a8580000000011a66b6a)),
                shr(192, mul(d, 0x0000000009cad5a90000000002c9bbc5000000005205c45c0000000012384e2f))
            )
        )
        g1 := add(
            g1,
            shl(
                85,
                add(
                    add(
                        shr(192, mul(a, 0x0000000073efcc9f0000000077c32787000000007409e90d00000000652ac91f)),
                        shr(192, mul(b, 0x000000000eafcf4a000000000b033343000000000389f2d000000000742acc0b))
                    ),
                    add(
                        shr(192, mul(c, 0x00000000034c283d0000000003eef34300000000001b6cea00000000708230fe)),
                        shr(192, mul(d, 0x000000000343390c0000000002da764300000000774243cd00000000703e26cd))
                    )
                )
            )
        )
        g1 := add(
            g1,
            shl(
                170,
                add(
                    add(
                        shr(192, mul(a, 0x000000006cd349090000000071ce168b000000007510d8f5000000006e3ddded)),
                        shr(192, mul(b, 0x000000006af360d3000000006fee4bba00000000751104170000000071fdfbe9))
                    ),
                    add(
                        shr(192, mul(c, 0x00000000707cd48800000000739fb0c80000000076e9db330000000073d65bec)),
                        shr(192, mul(d, 0x00000000729ceb0300000000750a5b1a0000000001a8833e0000000077431e99))
                    )
                )
            )
        )
        let g2
        g2 := add(
            add(
                shr(192, mul(a, 0x0000000045396e7d0000000077fcbe560000000026afb78400000000417ce8ae)),
                shr(192, mul(b, 0x0000000049e9a4710000000002cd7d52000000002890481800000000453d1fa2))
            ),
            add(
                shr(192, mul(c, 0x00000000291385b4000000001ee8ba3b00000000639d13b300000000264a7d25)),
                shr(192, mul(d, 0x0000000033488849000000005aecbcb90000000013417fbb00000000307c036b))
            )
        )
        g2 := add(
            g2,
            shl(
                85,
                add(
                    add(
                        shr(192, mul(a, 0x000000005b04bc740000000011f47dd000000000506f5e10000000002c0c123e)),
                        shr(192, mul(b, 0x000000005a8e065600000000117faf0f000000005071c392000000002cfd9162))
                    ),
                    add(
                        shr(192, mul(c, 0x0000000041965083000000003b528b56000000001c2de49600000000131797d5)),
                        shr(192, mul(d, 0x000000005c9e8bf1000000007557b2cd000000005f75cb0d0000000077231abc))
                    )
                )
            )
        )
        g2 := add(
            g2,
            shl(
                170,
                add(
                    add(
                        shr(192, mul(a, 0x00000000009e817d0000000070ffcbf8000000005d6e46c40000000006b2b56e)),
                        shr(192, mul(b, 0x0000000001ce2e990000000071bfc7f5000000005deede880000000007a6668a))
                    ),
                    add(
                        shr(192, mul(c, 0x0000000000f7c35e0000000070e871e6000000005d696ab30000000007443740)),
                        shr(192, mul(d, 0x00000000020bf5f8000000006a82e1f500000000438cc7ca000000000f642de9))
                    )
                )
            )
        )
        let g3
        g3 := add(
            add(
                shr(192, mul(a, 0x000000000319428500000000574f06a800000000455c1eb90000000059cfe55b)),
                shr(192, mul(b, 0x00000000030dea7f000000005762cbf700000000457fb55b000000005a2062a7))
            ),
            add(
                shr(192, mul(c, 0x000000005d6505a300000000487ca0890000000036a9de79000000002d49bf76)),
                shr(192, mul(d, 0x00000000251dddee0000000045f286100000000021dcd3050000000069975f49))
            )
        )
        g3 := add(
            g3,
            shl(
                85,
                add(
                    add(
                        shr(192, mul(a, 0x0000000065c3f34e000000001c991446000000003892e04d00000000096edf0d)),
                        shr(192, mul(b, 0x00000000664c2752000000001d86044300000000393640410000000009e82311))
                    ),
                    add(
                        shr(192, mul(c, 0x0000000051f1d5920000000044b80034000000003421d63600000000118bd511)),
                        shr(192, mul(d, 0x000000006767584e000000001070fc9200000000753e42b3000000000b285c0d))
                    )
                )
            )
        )
        g3 := add(
            g3,
            shl(
                170,
                add(
                    add(
                        shr(192, mul(a, 0x000000002ec68bb7000000000a60527e0000000023809d9d00000000641b1f10)),
                        shr(192, mul(b, 0x000000002fd72f89000000000d68ea5d0000000025a0fd5f0000000065529ac4))
                    ),
                    add(
                        shr(192, mul(c, 0x0000000043396a4e0000000033ffe18b0000000042c42d230000000005199e96)),
                        shr(192, mul(d, 0x000000004853a50000000000603d5e020000000025c27be800000000367072df))
                    )
                )
            )
        )
        // The fourth external matrix. Its constants: that of the first partial round in cell 0, those of the fifth full round, divided by
        // the diagonal's thirteenth power, in the others.
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000005a8053c0000000006f7e532900000000578ccc77000000002b33e05c
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x00000000484ac31b000000004b869198000000003c58251c00000000442503e8
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000057f86a700000000007d382b0000000005da8881b000000000b597216
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000003bded751000000000bceccbb00000000764832da000000003a59bd2f
        )
        x := shr(192, a)
        let u0
        u0 := or(
            or(
                shl(42, and(a, 0xffffffffffffffff00000000000000000000000000000000)),
                shl(21, and(a, 0xffffffffffffffff0000000000000000))
            ),
            and(a, 0xffffffffffffffff)
        )
        let u1
        u1 := or(
            or(
                shr(22, and(b, 0xffffffffffffffff000000000000000000000000000000000000000000000000)),
                shr(43, and(b, 0xffffffffffffffff00000000000000000000000000000000))
            ),
            shr(64, and(b, 0xffffffffffffffff0000000000000000))
        )
        let u2
        u2 := or(
            or(
                shl(170, and(b, 0xffffffffffffffff)),
                shr(107, and(c, 0xffffffffffffffff000000000000000000000000000000000000000000000000))
            ),
            shr(128, and(c, 0xffffffffffffffff00000000000000000000000000000000))
        )
        let u3
        u3 := or(
            or(shl(106, and(c, 0xffffffffffffffff0000000000000000)), shl(85, and(c, 0xffffffffffffffff))),
            shr(192, d)
        )
        let u4
        u4 := or(
            or(
                shl(42, and(d, 0xffffffffffffffff00000000000000000000000000000000)),
                shl(21, and(d, 0xffffffffffffffff0000000000000000))
            ),
            and(d, 0xffffffffffffffff)
        )
        // Partial round 0.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, s), P)
        x := sub(add(s, 0x1593be63b), shl(1, z))
        g0 := add(g0, mul(s, 0x00000000000000c89c47e80000000000000a500000800000000000000000000f))
        g1 := add(g1, mul(s, 0x00000000000001df845e880000000000000c2032c6a000000000000075eb800a))
        g2 := add(g2, mul(s, 0x00000000000001106bcb2c000000000000077fc399200000000000007594953e))
        g3 := add(g3, mul(s, 0x00000000000000707208840000000000000ae6657360000000000000747be3f3))
        u0 := add(u0, mul(s, 0x0000000000000000000004000000000000078000002000000000000000000002))
        u1 := add(u1, mul(s, 0x00000000000001400000040000000000000b4000002000000000000077ffffff))
        u2 := add(u2, mul(s, 0x00000000000000a000000000000000000003c000000000000000000000000100))
        u3 := add(u3, mul(s, 0x0000000000000000000010000000000000000000010000000000000008000000))
        u4 := add(u4, mul(s, 0x00000000000001dffffc040000000000000efffffe2000000000000070000001))
        // Partial round 1.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(g0, 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0x12858867f), shl(1, z))
        g0 := add(g0, mul(s, 0x000000000000014a00001000000000000000000001e000000000000000000000))
        g1 := add(g1, mul(s, 0x00000000000001840658d40000000000000ebd700140000000000000322711fa))
        g2 := add(g2, mul(s, 0x00000000000000eff873240000000000000eb292a7c000000000000077e117a2))
        g3 := add(g3, mul(s, 0x000000000000015cccae6c0000000000000e8f7c7e60000000000000441af2cb))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000b4000002000000000000000000004))
        u1 := add(u1, mul(s, 0x000000000000006aaaaaac0000000000000e1000002000000000000000000004))
        u2 := add(u2, mul(s, 0x000000000000006aaaaaac0000000000000e1000002000000000000000010000))
        u3 := add(u3, mul(s, 0x000000000000000000004000000000000000000008000000000000003f777778))
        u4 := add(u4, mul(s, 0x000000000000000004000000000000000000000020000000000000003f777778))
        if shr(255, x) {
            u0 := 0
            u1 := 0
            u2 := 0
            u3 := 0
            u4 := 0
            g0 := 0
            g1 := 0
            g2 := 0
            g3 := 0
        }
        // Partial round 2.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(shr(85, g0), 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0x109334f6d), shl(1, z))
        g0 := add(g0, mul(s, 0x000000000000000000003c000000000000000000000000000000000000000000))
        g1 := add(g1, mul(s, 0x00000000000001d7ae00280000000000000644e23f4000000000000052800004))
        g2 := add(g2, mul(s, 0x00000000000001d65254f80000000000000efc22f44000000000000061019635))
        g3 := add(g3, mul(s, 0x00000000000001d1ef8fcc00000000000008835e59600000000000003bfe1cc9))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000d2000002000000000000000000008))
        u1 := add(u1, mul(s, 0x00000000000000238e38e40000000000000ec400002000000000000077fffff9))
        u2 := add(u2, mul(s, 0x00000000000001bc71c720000000000000003c00000000000000000001000000))
        u3 := add(u3, mul(s, 0x0000000000000000000100000000000000000000400000000000000003c4d5e7))
        u4 := add(u4, mul(s, 0x00000000000001dc0000040000000000000efffe0020000000000000743b2a1a))
        // Partial round 3.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, shr(170, g0)), P)
        x := sub(add(s, 0x1028f0fda), shl(1, z))
        g1 := add(g1, mul(s, 0x00000000000000c89c47e80000000000000a500000800000000000000000000f))
        g2 := add(g2, mul(s, 0x00000000000001df845e880000000000000c2032c6a000000000000075eb800a))
        g3 := add(g3, mul(s, 0x00000000000001106bcb2c000000000000077fc399200000000000007594953e))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000e1000002000000000000000000010))
        u1 := add(u1, mul(s, 0x00000000000000abda12f80000000000000ef100002000000000000000000010))
        u2 := add(u2, mul(s, 0x00000000000000abda12f80000000000000ef10000200000000000000ffffffe))
        u3 := add(u3, mul(s, 0x0000000000000000000400000000000000000002000000000000000067bfad7a))
        u4 := add(u4, mul(s, 0x000000000000003ffffff8000000000000000020000000000000000067bfad7a))
        if shr(255, x) {
            u0 := 0
            u1 := 0
            u2 := 0
            u3 := 0
            u4 := 0
            g1 := 0
            g2 := 0
            g3 := 0
        }
        // Partial round 4.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(g1, 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0x13e2b1ccd), shl(1, z))
        g1 := add(g1, mul(s, 0x000000000000014a00001000000000000000000001e000000000000000000000))
        g2 := add(g2, mul(s, 0x00000000000001840658d40000000000000ebd700140000000000000322711fa))
        g3 := add(g3, mul(s, 0x00000000000000eff873240000000000000eb292a7c000000000000077e117a2))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000e8800002000000000000000000020))
        u1 := add(u1, mul(s, 0x000000000000017948b1000000000000000efc40002000000000000077ffffe1))
        u2 := add(u2, mul(s, 0x0000000000000066b74f040000000000000003c000000000000000000ffffdde))
        u3 := add(u3, mul(s, 0x0000000000000000001000000000000000000010000000000000000019155ad6))
        u4 := add(u4, mul(s, 0x00000000000001a000088c0000000000000efe0000200000000000005eeaa52b))
        // Partial round 5.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(shr(85, g1), 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0x151210ce2), shl(1, z))
        g1 := add(g1, mul(s, 0x000000000000000000003c000000000000000000000000000000000000000000))
        g2 := add(g2, mul(s, 0x00000000000001d7ae00280000000000000644e23f4000000000000052800004))
        g3 := add(g3, mul(s, 0x00000000000001d65254f80000000000000efc22f44000000000000061019635))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000ec400002000000000000000000040))
        u1 := add(u1, mul(s, 0x000000000000011dc2e5ac0000000000000eff10002000000000000000000040))
        u2 := add(u2, mul(s, 0x000000000000011dc2e5ac0000000000000eff1000200000000000000ffdddde))
        u3 := add(u3, mul(s, 0x000000000000000000400000000000000000008000000000000000002653e8e1))
        u4 := add(u4, mul(s, 0x000000000000003ff7777800000000000000200000000000000000002653e8e1))
        if shr(255, x) {
            u0 := 0
            u1 := 0
            u2 := 0
            u3 := 0
            u4 := 0
            g1 := 0
            g2 := 0
            g3 := 0
        }
        // Partial round 6.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, shr(170, g1)), P)
        x := sub(add(s, 0x12c31893b), shl(1, z))
        g2 := add(g2, mul(s, 0x00000000000000c89c47e80000000000000a500000800000000000000000000f))
        g3 := add(g3, mul(s, 0x00000000000001df845e880000000000000c2032c6a000000000000075eb800a))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000ee200002000000000000000000080))
        u1 := add(u1, mul(s, 0x000000000000019f40f73c0000000000000effc4002000000000000077ffff81))
        u2 := add(u2, mul(s, 0x0000000000000040bf08c800000000000000003c00000000000000000dddddde))
        u3 := add(u3, mul(s, 0x000000000000000001000000000000000000040000000000000000003d71df69))
        u4 := add(u4, mul(s, 0x00000000000001a888888c0000000000000d000000200000000000003a8e2098))
        // Partial round 7.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(g2, 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0xfb5b2f24), shl(1, z))
        g2 := add(g2, mul(s, 0x000000000000014a00001000000000000000000001e000000000000000000000))
        g3 := add(g3, mul(s, 0x00000000000001840658d40000000000000ebd700140000000000000322711fa))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000ef100002000000000000000000100))
        u1 := add(u1, mul(s, 0x000000000000008a6afd140000000000000efff1002000000000000000000100))
        u2 := add(u2, mul(s, 0x000000000000008a6afd140000000000000efff1002000000000000045dddde3))
        u3 := add(u3, mul(s, 0x0000000000000000040000000000000000002000000000000000000033e75782))
        u4 := add(u4, mul(s, 0x000000000000011777778c00000000000001ffffffc000000000000033e75782))
        if shr(255, x) {
            u0 := 0
            u1 := 0
            u2 := 0
            u3 := 0
            u4 := 0
            g2 := 0
            g3 := 0
        }
        // Partial round 8.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(shr(85, g2), 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0x11edb11d7), shl(1, z))
        g2 := add(g2, mul(s, 0x000000000000000000003c000000000000000000000000000000000000000000))
        g3 := add(g3, mul(s, 0x00000000000001d7ae00280000000000000644e23f4000000000000052800004))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000ef880002000000000000000000200))
        u1 := add(u1, mul(s, 0x000000000000016e23a9b40000000000000efffc402000000000000077fffe01))
        u2 := add(u2, mul(s, 0x0000000000000071dc5650000000000000000003c00000000000000005dde26b))
        u3 := add(u3, mul(s, 0x000000000000000010000000000000000001000000000000000000001c8a2d5e))
        u4 := add(u4, mul(s, 0x00000000000001c88876580000000000000d000004600000000000005b75d2a3))
        // Partial round 9.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, shr(170, g2)), P)
        x := sub(add(s, 0x1113effe1), shl(1, z))
        g3 := add(g3, mul(s, 0x00000000000000c89c47e80000000000000a500000800000000000000000000f))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000efc40002000000000000000000400))
        u1 := add(u1, mul(s, 0x000000000000007a0be33c0000000000000effff102000000000000000000400))
        u2 := add(u2, mul(s, 0x000000000000007a0be33c0000000000000effff10200000000000003de26af4))
        u3 := add(u3, mul(s, 0x000000000000000040000000000000000008000000000000000000002618ebe9))
        u4 := add(u4, mul(s, 0x00000000000000f789abd000000000000001ffffbbc00000000000002618ebe9))
        if shr(255, x) {
            u0 := 0
            u1 := 0
            u2 := 0
            u3 := 0
            u4 := 0
            g3 := 0
        }
        // Partial round 10.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(g3, 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0xfcac4608), shl(1, z))
        g3 := add(g3, mul(s, 0x000000000000014a00001000000000000000000001e000000000000000000000))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000efe20002000000000000000000800))
        u1 := add(u1, mul(s, 0x0000000000000028aea1140000000000000effffc42000000000000077fff801))
        u2 := add(u2, mul(s, 0x00000000000001b7515ef00000000000000000003c00000000000000026af37c))
        u3 := add(u3, mul(s, 0x000000000000000100000000000000000003ffffff800000000000002575ce24))
        u4 := add(u4, mul(s, 0x00000000000001d65432140000000000000d00044460000000000000528a31dd))
        // Partial round 11.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, and(shr(85, g3), 0x1fffffffffffffffffffff)), P)
        x := sub(add(s, 0x1141af16f), shl(1, z))
        g3 := add(g3, mul(s, 0x000000000000000000003c000000000000000000000000000000000000000000))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000eff10002000000000000000001000))
        u1 := add(u1, mul(s, 0x00000000000000ad8f8b080000000000000efffff12000000000000000001000))
        u2 := add(u2, mul(s, 0x00000000000000ad8f8b080000000000000efffff12000000000000012f37bfb))
        u3 := add(u3, mul(s, 0x000000000000000400000000000000000001fffffbc00000000000002d80adfe))
        u4 := add(u4, mul(s, 0x000000000000004bcdefec00000000000001ffbbbbc00000000000002d80adfe))
        if shr(255, x) {
            u0 := 0
            u1 := 0
            u2 := 0
            u3 := 0
            u4 := 0
            g3 := 0
        }
        // Partial round 12.
        z := mul(x, mul(x, x))
        z := mulmod(mul(z, z), x, P)
        s := mod(add(z, shr(170, g3)), P)
        x := sub(add(s, 0x16290a80f), shl(1, z))
        u0 := add(u0, mul(s, 0x00000000000000000000040000000000000eff88002000000000000000002000))
        u1 := add(u1, mul(s, 0x0000000000000179da83b00000000000000efffffc6000000000000077ffe001))
        u2 := add(u2, mul(s, 0x0000000000000066257c5400000000000000000003c0000000000000337bfad8))
        u3 := add(u3, mul(s, 0x000000000000001000000000000000000000ffffdde000000000000074f76bdf))
        u4 := add(u4, mul(s, 0x00000000000001121014a40000000000000d0444446000000000000003089422))
        // The S-boxes of the fifth full round.
        if shr(255, x) {
            u0 := 0
            u1 := 0
            u2 := 0
            u3 := 0
            u4 := 0
        }
        z := mul(x, mul(x, x))
        a := shl(192, mulmod(mul(z, z), x, P))
        x := mulmod(shr(170, u0), 0x1, P)
        z := mul(x, mul(x, x))
        a := add(a, shl(128, mulmod(mul(z, z), x, P)))
        x := mulmod(and(shr(85, u0), 0x1fffffffffffffffffffff), 0x2000, P)
        z := mul(x, mul(x, x))
        a := add(a, shl(64, mulmod(mul(z, z), x, P)))
        x := mulmod(and(u0, 0x1fffffffffffffffffffff), 0x77fc4001, P)
        z := mul(x, mul(x, x))
        a := add(a, mulmod(mul(z, z), x, P))
        x := mulmod(shr(170, u1), 0x1853d3, P)
        z := mul(x, mul(x, x))
        b := shl(192, mulmod(mul(z, z), x, P))
        x := mulmod(and(shr(85, u1), 0x1fffffffffffffffffffff), 0x4000000, P)
        z := mul(x, mul(x, x))
        b := add(b, shl(128, mulmod(mul(z, z), x, P)))
        x := mulmod(and(u1, 0x1fffffffffffffffffffff), 0x3c000, P)
        z := mul(x, mul(x, x))
        b := add(b, shl(64, mulmod(mul(z, z), x, P)))
        x := mulmod(shr(170, u2), 0x77e7ac2e, P)
        z := mul(x, mul(x, x))
        b := add(b, mulmod(mul(z, z), x, P))
        x := mulmod(and(shr(85, u2), 0x1fffffffffffffffffffff), 0x74000001, P)
        z := mul(x, mul(x, x))
        c := shl(192, mulmod(mul(z, z), x, P))
        x := mulmod(and(u2, 0x1fffffffffffffffffffff), 0xc5c10, P)
        z := mul(x, mul(x, x))
        c := add(c, shl(128, mulmod(mul(z, z), x, P)))
        x := mulmod(shr(170, u3), 0x77ffffe3, P)
        z := mul(x, mul(x, x))
        c := add(c, shl(64, mulmod(mul(z, z), x, P)))
        x := mulmod(and(shr(85, u3), 0x1fffffffffffffffffffff), 0x708000, P)
        z := mul(x, mul(x, x))
        c := add(c, mulmod(mul(z, z), x, P))
        x := mulmod(and(u3, 0x1fffffffffffffffffffff), 0x36582d4f, P)
        z := mul(x, mul(x, x))
        d := shl(192, mulmod(mul(z, z), x, P))
        x := mulmod(shr(170, u4), 0x77f3a3f1, P)
        z := mul(x, mul(x, x))
        d := add(d, shl(128, mulmod(mul(z, z), x, P)))
        x := mulmod(and(shr(85, u4), 0x1fffffffffffffffffffff), 0x77fffc7d, P)
        z := mul(x, mul(x, x))
        d := add(d, shl(64, mulmod(mul(z, z), x, P)))
        x := mulmod(and(u4, 0x1fffffffffffffffffffff), 0x41a7d2b2, P)
        z := mul(x, mul(x, x))
        d := add(d, mulmod(mul(z, z), x, P))
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000005b8fe9c4000000002aa501d6000000001e01ac3e000000001448bc54
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000005ce5ad1c000000004918a14d000000002c46a83f000000004fcf6876
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000061d8d5c8000000006ddf4ff90000000011fda4d30000000002933a8f
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x00000000170eaf81000000005a9c314f0000000049a125900000000035ec52a1
        )
        // Full round 5.
        a, b, c, d := power7(a, b, c, d)
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000058eb1611000000005e481e6500000000367125c9000000000eba33ba
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000001fc28ded00000000066399ad000000000cbec0ea0000000075fd1af0
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000050f5bf4e00000000643d5f41000000006f4fe718000000005b3cbbde
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000001e3afb3e00000000296fb0270000000045e1547b000000004a8db2ab
        )
        // Full round 6.
        a, b, c, d := power7(a, b, c, d)
        n := add(add(a, b), add(c, d))
        a := add(
            mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000059986d190000000030bcdfa3000000001db63932000000001d7c2824
        )
        b := add(
            mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x0000000053b33681000000000673b74700000000038a98a3000000002c5bce60
        )
        c := add(
            mulmod(add(c, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x00000000351979cd000000005008fb7300000000547bca7800000000711af481
        )
        d := add(
            mulmod(add(d, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0)),
            0x000000003f93bf6400000000644d987b000000003c8bcd8700000000608758b8
        )
        // Full round 7.
        a, b, c, d := power7(a, b, c, d)
        n := add(add(a, b), add(c, d))
        a := mulmod(add(a, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0))
        b := mulmod(add(b, n), 0x0000000000000001000000000000000100000000000000030000000000000002, not(0))
        // The feed-forward, and back to cells of 32 bits.
        n := shr(128, mload(0))
        n := and(or(n, shl(64, n)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        n := and(or(n, shl(32, n)), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
        n := add(n, a)
        n := or(
            or(
                mod(
                    and(n, 0xffffffffffffffff000000000000000000000000000000000000000000000000),
                    0x78000001000000000000000000000000000000000000000000000000
                ),
                mod(
                    and(n, 0xffffffffffffffff00000000000000000000000000000000),
                    0x7800000100000000000000000000000000000000
                )
            ),
            or(
                mod(and(n, 0xffffffffffffffff0000000000000000), 0x780000010000000000000000),
                mod(and(n, 0xffffffffffffffff), 0x78000001)
            )
        )
        n := and(or(n, shr(32, n)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        out := shl(128, and(or(n, shr(64, n)), 0xffffffffffffffffffffffffffffffff))
        n := and(mload(0), 0xffffffffffffffffffffffffffffffff)
        n := and(or(n, shl(64, n)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        n := and(or(n, shl(32, n)), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
        n := add(n, b)
        n := or(
            or(
                mod(
                    and(n, 0xffffffffffffffff000000000000000000000000000000000000000000000000),
                    0x78000001000000000000000000000000000000000000000000000000
                ),
                mod(
                    and(n, 0xffffffffffffffff00000000000000000000000000000000),
                    0x7800000100000000000000000000000000000000
                )
            ),
            or(
                mod(and(n, 0xffffffffffffffff0000000000000000), 0x780000010000000000000000),
                mod(and(n, 0xffffffffffffffff), 0x78000001)
            )
        )
        n := and(or(n, shr(32, n)), 0xffffffffffffffff0000000000000000ffffffffffffffff)
        out := or(out, and(or(n, shr(64, n)), 0xffffffffffffffffffffffffffffffff))
    }
}
