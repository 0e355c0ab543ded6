#!/usr/bin/env python3
"""The signatures of `holdfast_crypto::schnorr` once more, from their definition, and the golden vectors made with them.

Plain integers and the standard library: nothing here is fast, constant in time, or shared with the Rust code.

    python3 schnorr_reference.py            writes vectors/schnorr.json
    python3 schnorr_reference.py --check    compares with it, and exits with 1 where it differs

Either way it first checks what the security of the curve rests on; see `check_curve`.
"""

import hashlib
import json
import pathlib
import sys

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors" / "schnorr.json"
SEED = "holdfast schnorr vectors"


class Stream:
    """Integers that look random and depend on the seed alone."""

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def below(self, bound):
        self.count += 1
        return int.from_bytes(hashlib.sha512(f"{self.seed}/{self.count}".encode()).digest(), "little") % bound


# ---------------------------------------------------------------- the field F_p and its extension

P = 2**31 - 2**27 + 1
DEGREE = 7
Q = P**DEGREE
ZERO = (0,) * DEGREE
ONE = (1,) + (0,) * (DEGREE - 1)


def add(a, b):
    return tuple((x + y) % P for x, y in zip(a, b))


def sub(a, b):
    return tuple((x - y) % P for x, y in zip(a, b))


def neg(a):
    return sub(ZERO, a)


def mul(a, b):
    wide = [0] * (2 * DEGREE - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            wide[i + j] += x * y
    for k in range(2 * DEGREE - 2, DEGREE - 1, -1):  # z^k = 2 z^(k - 6) + 5 z^(k - 7)
        wide[k - DEGREE + 1] += 2 * wide[k]
        wide[k - DEGREE] += 5 * wide[k]
    return tuple(x % P for x in wide[:DEGREE])


def power(a, exponent):
    result = ONE
    for bit in bin(exponent)[2:]:
        result = mul(result, result)
        if bit == "1":
            result = mul(result, a)
    return result


def inverse(a):
    """The extended algorithm of Euclid on polynomials, against z^7 - 2z - 5."""
    assert a != ZERO
    modulus = [-5 % P, -2 % P, 0, 0, 0, 0, 0, 1]

    def trimmed(f):
        while f and f[-1] == 0:
            f.pop()
        return f

    r0, r1 = modulus, trimmed(list(a))
    t0, t1 = [], [1]
    while len(r1) > 1:
        r, t = r0[:], t0[:]
        lead = pow(r1[-1], -1, P)
        while len(r) >= len(r1):
            factor, shift = r[-1] * lead % P, len(r) - len(r1)
            for i, x in enumerate(r1):
                r[i + shift] = (r[i + shift] - factor * x) % P
            t += [0] * (len(t1) + shift - len(t))
            for i, x in enumerate(t1):
                t[i + shift] = (t[i + shift] - factor * x) % P
            trimmed(r)
        r0, r1, t0, t1 = r1, r, t1, t
    scale = pow(r1[0], -1, P)
    result = tuple(x * scale % P for x in t1) + (0,) * (DEGREE - len(t1))
    assert mul(a, result) == ONE
    return result


def sqrt(a):
    """Tonelli and Shanks in the large field: either root, or None."""
    if a == ZERO:
        return ZERO
    if power(a, (Q - 1) // 2) != ONE:
        return None
    odd, order = Q - 1, 0
    while odd % 2 == 0:
        odd, order = odd // 2, order + 1
    # 31 generates F_p, so it is no square there, nor in an extension of odd degree.
    generator = power((31,) + (0,) * (DEGREE - 1), odd)
    root, rest = power(a, (odd + 1) // 2), power(a, odd)
    while rest != ONE:
        square, i = rest, 0
        while square != ONE:
            square, i = mul(square, square), i + 1
        factor = generator
        for _ in range(order - i - 1):
            factor = mul(factor, factor)
        generator, order = mul(factor, factor), i
        root, rest = mul(root, factor), mul(rest, generator)
    assert mul(root, root) == a
    return root


# ---------------------------------------------------------------- the curve; None is the identity

N = 134062710381075636479997415343722979822569397998875702343109881667
A = (2, 0, 0, 0, 0, 0, 0)
B = (0, 0, 0, 0, 0, 26, 0)


def right_side(x):
    return add(mul(add(mul(x, x), A), x), B)


def on_curve(point):
    x, y = point
    return mul(y, y) == right_side(x)


def point_neg(point):
    return None if point is None else (point[0], neg(point[1]))


def point_add(left, right):
    if left is None or right is None:
        return right if left is None else left
    (x1, y1), (x2, y2) = left, right
    if x1 == x2:
        if y1 != y2:
            return None
        slope = mul(add(mul((3,) + ZERO[1:], mul(x1, x1)), A), inverse(add(y1, y1)))
    else:
        slope = mul(sub(y2, y1), inverse(sub(x2, x1)))
    x = sub(sub(mul(slope, slope), x1), x2)
    return (x, sub(mul(slope, sub(x1, x)), y1))


def point_mul(scalar, point):
    result = None
    for bit in bin(scalar)[2:]:
        result = point_add(result, result)
        if bit == "1":
            result = point_add(result, point)
    return result


def parity(y):
    return next((v for v in y if v), 0) % 2


def point_from_name(name):
    counter = 0
    while True:
        x = tuple(
            int.from_bytes(hashlib.sha256(f"holdfast/curve/{name}{counter}/{i}".encode()).digest(), "little") % P
            for i in range(DEGREE)
        )
        y = sqrt(right_side(x))
        if y is not None:
            return (x, neg(y) if parity(y) else y)
        counter += 1


def point_encode(point):
    x, y = point
    words = list(x)
    words[-1] |= parity(y) << 31
    return b"".join(word.to_bytes(4, "little") for word in words)


def point_decode(data):
    """The point, or the name of the error."""
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, 28, 4)]
    wanted, words[-1] = words[-1] >> 31, words[-1] & 0x7FFFFFFF
    if any(word >= P for word in words):
        return "coefficient"
    y = sqrt(right_side(tuple(words)))
    if y is None:
        return "off curve"
    return (tuple(words), y if parity(y) == wanted else neg(y))


def scalar_encode(scalar):
    return scalar.to_bytes(28, "little")


GENERATOR = point_from_name("generator")
LADDER_START = point_from_name("ladder start")
LADDER_OFFSET = point_from_name("ladder offset")
LADDER_END = point_add(point_mul(2**216, LADDER_START), point_mul(2**216 - 1, LADDER_OFFSET))

# ---------------------------------------------------------------- the compression

ROUND_INITIAL = [
    0x69cbb6af, 0x46ad93f9, 0x60a00f4e, 0x6b1297cd, 0x23189afe, 0x732e7bef, 0x72c246de, 0x2c941900,
    0x0557eede, 0x1580496f, 0x3a3ea77b, 0x54f3f271, 0x0f49b029, 0x47872fe1, 0x221e2e36, 0x1ab7202e,
    0x487779a6, 0x3851c9d8, 0x38dc17c0, 0x209f8849, 0x268dcee8, 0x350c48da, 0x5b9ad32e, 0x0523272b,
    0x3f89055b, 0x01e894b2, 0x13ddedde, 0x1b2ef334, 0x7507d8b4, 0x6ceeb94e, 0x52eb6ba2, 0x50642905,
    0x05453f3f, 0x06349efc, 0x6922787c, 0x04bfff9c, 0x768c714a, 0x3e9ff21a, 0x15737c9c, 0x2229c807,
    0x0d47f88c, 0x097e0ecc, 0x27eadba0, 0x2d7d29e4, 0x3502aaa0, 0x0f475fd7, 0x29fbda49, 0x018afffd,
    0x0315b618, 0x6d4497d1, 0x1b171d9e, 0x52861abd, 0x2e5d0501, 0x3ec8646c, 0x6e5f250a, 0x148ae8e6,
    0x17f5fa4a, 0x3e66d284, 0x0051aa3b, 0x483f7913, 0x2cfe5f15, 0x023427ca, 0x2cc78315, 0x1e36ea47,
]
ROUND_INTERNAL = [
    0x5a8053c0, 0x693be639, 0x3858867d, 0x19334f6b, 0x128f0fd8, 0x4e2b1ccb, 0x61210ce0, 0x3c318939,
    0x0b5b2f22, 0x2edb11d5, 0x213effdf, 0x0cac4606, 0x241af16d,
]
ROUND_FINAL = [
    0x7290a80d, 0x6f7e5329, 0x598ec8a8, 0x76a859a0, 0x6559e868, 0x657b83af, 0x13271d3f, 0x1f876063,
    0x0aeeae37, 0x706e9ca6, 0x46400cee, 0x72a05c26, 0x2c589c9e, 0x20bd37a7, 0x6a2d3d10, 0x20523767,
    0x5b8fe9c4, 0x2aa501d6, 0x1e01ac3e, 0x1448bc54, 0x5ce5ad1c, 0x4918a14d, 0x2c46a83f, 0x4fcf6876,
    0x61d8d5c8, 0x6ddf4ff9, 0x11fda4d3, 0x02933a8f, 0x170eaf81, 0x5a9c314f, 0x49a12590, 0x35ec52a1,
    0x58eb1611, 0x5e481e65, 0x367125c9, 0x0eba33ba, 0x1fc28ded, 0x066399ad, 0x0cbec0ea, 0x75fd1af0,
    0x50f5bf4e, 0x643d5f41, 0x6f4fe718, 0x5b3cbbde, 0x1e3afb3e, 0x296fb027, 0x45e1547b, 0x4a8db2ab,
    0x59986d19, 0x30bcdfa3, 0x1db63932, 0x1d7c2824, 0x53b33681, 0x0673b747, 0x038a98a3, 0x2c5bce60,
    0x351979cd, 0x5008fb73, 0x547bca78, 0x711af481, 0x3f93bf64, 0x644d987b, 0x3c8bcd87, 0x608758b8,
]

def half_power(exponent):
    return pow(pow(2, exponent, P), -1, P)


DIAGONAL = [
    -2, 1, 2, half_power(1), 3, 4, -half_power(1), -3, -4, half_power(8), half_power(2), half_power(3),
    half_power(27), -half_power(8), -half_power(4), -half_power(27),
]
M4 = [[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]]


def external(state):
    return [
        sum(M4[i % 4][j % 4] * (2 if i // 4 == j // 4 else 1) * state[j] for j in range(16)) % P for i in range(16)
    ]


def internal(state):
    total = sum(state)
    return [(total + d * x) % P for d, x in zip(DIAGONAL, state)]


def permute(state):
    state = external(state)
    for constants in (ROUND_INITIAL, None, ROUND_FINAL):
        if constants is None:
            for constant in ROUND_INTERNAL:
                state = internal([pow(state[0] + constant, 7, P)] + state[1:])
        else:
            for start in range(0, 64, 16):
                state = external([pow(x + constants[start + i], 7, P) for i, x in enumerate(state)])
    return state


def compress(left, right):
    state = permute(list(left) + list(right))
    return [(state[i] + left[i]) % P for i in range(8)]


def cells_encode(cells):
    """A digest, or the coefficients of a field element."""
    return b"".join(cell.to_bytes(4, "little") for cell in cells)


# ---------------------------------------------------------------- signatures

CHALLENGE_TAG = int.from_bytes(b"HFS1", "big")


def hash_to_scalar(*parts):
    scalar = int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % N
    assert scalar != 0
    return scalar


def key_pair(seed):
    secret = hash_to_scalar(b"holdfast/schnorr/secret", seed)
    return secret, point_mul(secret, GENERATOR)


def challenge(r, public_key, message):
    steps = [compress(list(r[0]) + [CHALLENGE_TAG], list(r[1]) + [0])]
    for right in (list(public_key[0]) + [0], list(public_key[1]) + [0], message):
        steps.append(compress(steps[-1], right))
    return steps


def challenge_scalar(digest):
    return sum((cell % 2**27) << (27 * (7 - j)) for j, cell in enumerate(digest))


def sign(seed, message):
    secret, public_key = key_pair(seed)
    nonce = hash_to_scalar(b"holdfast/schnorr/nonce", seed, point_encode(public_key), cells_encode(message))
    r = point_mul(nonce, GENERATOR)
    e = challenge_scalar(challenge(r, public_key, message)[3])
    return r, (nonce + e * secret) % N


def verify(public_key, message, signature):
    r, s = signature
    e = challenge_scalar(challenge(r, public_key, message)[3])
    return point_mul(s, GENERATOR) == point_add(r, point_mul(e, public_key))


def signature_encode(signature):
    return point_encode(signature[0]) + scalar_encode(signature[1])


# ---------------------------------------------------------------- what the security rests on


def is_prime(n):
    """Miller and Rabin, to forty bases: wrong with probability below 4^-40 on these numbers, which nobody chose."""
    if n < 4:
        return n > 1
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    bases = Stream(f"Miller and Rabin/{n}")
    for _ in range(40):
        x = pow(2 + bases.below(n - 3), odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def check_curve():
    z = (0, 1, 0, 0, 0, 0, 0)
    # The polynomial is irreducible: 7 is prime, all its roots lie in F_p^7 and none in F_p.
    assert is_prime(P) and power(z, Q) == z and power(z, P) != z

    # The group has prime order n: n kills a point that is not the identity, so n divides the order, and no other
    # multiple of n is within 2 sqrt(q) of q + 1 (Hasse).
    assert is_prime(N) and N.bit_length() == 217
    for point in (GENERATOR, LADDER_START, LADDER_OFFSET):
        assert on_curve(point) and point_mul(N, point) is None
    trace = Q + 1 - N
    assert trace**2 < 4 * Q and N**2 > 16 * Q

    # Not anomalous, and not supersingular.
    assert N != Q and trace % P != 0
    # The embedding degree is n - 1: p generates the integers modulo n, and 7 does not divide n - 1.
    factors = [2, 5925377, 93670517, 9298636033, 12987927215746002625818337912300181499389]
    assert all(map(is_prime, factors))
    product = 1
    for factor in factors:
        product *= factor
    assert product == N - 1 and all(pow(P, (N - 1) // factor, N) != 1 for factor in factors) and (N - 1) % 7 != 0
    assert all(pow(Q, k, N) != 1 for k in range(1, 1001))
    # The discriminant of the endomorphisms is that of the trace, without a square factor: about -2^218.
    discriminant = trace**2 - 4 * Q
    factors = [7, 733, 207579435714054181307, 420697463926097255228349041748083517178667]
    assert all(map(is_prime, factors))
    product = -1
    for factor in factors:
        product *= factor
    assert product == discriminant and discriminant % 4 == 1
    # The j-invariant, 1728 * 4 a^3 / (4 a^3 + 27 b^2), is in no smaller field, so the curve is not one of F_p.
    denominator = add((32,) + ZERO[1:], mul((27,) + ZERO[1:], mul(B, B)))
    assert mul((1728 * 32,) + ZERO[1:], inverse(denominator))[1:] != ZERO[1:]
    # The twist has prime order too.
    assert is_prime(2 * Q + 2 - N)


# ---------------------------------------------------------------- the vectors


def vectors():
    stream = Stream(SEED)

    def element():
        return tuple(stream.below(P) for _ in range(DEGREE))

    def digest():
        return [stream.below(P) for _ in range(8)]

    def point_cells(point):
        return {"x": cells_encode(point[0]).hex(), "y": cells_encode(point[1]).hex()}

    septic = []
    for case in range(24):
        a, b = element(), element()
        if case < DEGREE:
            a = tuple(int(i == case) for i in range(DEGREE))
        if case == DEGREE:
            a, b = (P - 1,) * DEGREE, (P - 1,) * DEGREE
        root = sqrt(a)
        # Of the two roots, the one of even parity.
        root = None if root is None else cells_encode(neg(root) if parity(root) else root).hex()
        named = {"a": a, "b": b, "product": mul(a, b), "inverse": inverse(a)}
        septic.append({**{name: cells_encode(value).hex() for name, value in named.items()}, "root": root})

    scalars = [1, 2, 3, N - 1, N - 2, 2**216, (N + 1) // 2, 16**54] + [stream.below(N) for _ in range(8)]
    multiples = []
    for scalar in scalars:
        point = point_mul(scalar, GENERATOR)
        assert point_decode(point_encode(point)) == point
        multiples.append(
            {"scalar": scalar_encode(scalar).hex(), "point": point_encode(point).hex(), **point_cells(point)}
        )

    signatures, signed = [], []
    for case in range(16):
        seed = [bytes(32), b"\xff" * 32][case] if case < 2 else stream.below(2**256).to_bytes(32, "little")
        message = [[0] * 8, [P - 1] * 8][case] if case < 2 else digest()
        public_key = key_pair(seed)[1]
        signature = sign(seed, message)
        assert verify(public_key, message, signature)
        steps = challenge(signature[0], public_key, message)
        signed.append((seed, public_key, message, signature))
        signatures.append(
            {
                "seed": seed.hex(),
                "public_key": point_encode(public_key).hex(),
                "message": cells_encode(message).hex(),
                "challenge": [cells_encode(step).hex() for step in steps],
                "challenge_scalar": scalar_encode(challenge_scalar(steps[3])).hex(),
                "signature": signature_encode(signature).hex(),
            }
        )

    (_, key, message, (r, s)), (_, other_key, other_message, (other_r, other_s)) = signed[2:4]
    forged = [
        ("message of another", key, other_message, (r, s)),
        ("one bit of the message", key, [message[0] ^ 1] + message[1:], (r, s)),
        ("key of another", other_key, message, (r, s)),
        ("negated key", point_neg(key), message, (r, s)),
        ("r of another", key, message, (other_r, s)),
        ("s of another", key, message, (r, other_s)),
        ("negated r", key, message, (point_neg(r), s)),
        ("negated s", key, message, (r, N - s)),
        ("negated r and s", key, message, (point_neg(r), N - s)),
        ("s plus one", key, message, (r, (s + 1) % N)),
        ("zero s", key, message, (r, 0)),
        ("key for r", key, message, (key, s)),
        ("generator for r", key, message, (GENERATOR, 1)),
    ]
    for what, key_, message_, signature in forged:
        assert not verify(key_, message_, signature), what

    rejected_points = []

    def reject_point(what, data):
        error = point_decode(data)
        assert isinstance(error, str), what
        rejected_points.append({"what": what, "bytes": data.hex(), "error": error})

    valid = point_encode(key)

    def patched(cell, word):
        return valid[: 4 * cell] + word.to_bytes(4, "little") + valid[4 * cell + 4 :]

    for cell in range(DEGREE):
        word = int.from_bytes(valid[4 * cell : 4 * cell + 4], "little")
        for what, bad in [("p", P), ("2^31 - 1", 2**31 - 1), ("all ones", 2**32 - 1)]:
            reject_point(f"coefficient {cell} is {what}", patched(cell, bad))
        if cell < DEGREE - 1:
            reject_point(f"top bit of word {cell}", patched(cell, word | 1 << 31))
    reject_point("all bytes 0xff", b"\xff" * 28)
    off_curve = 0
    while off_curve < 4:
        x = element()
        if sqrt(right_side(x)) is None:
            reject_point("x of no point", point_encode((x, ONE)))
            off_curve += 1

    rejected_scalars = []
    for what, scalar in [("n", N), ("n + 1", N + 1), ("s + n", s + N), ("2^217", 2**217), ("2^224 - 1", 2**224 - 1)]:
        rejected_scalars.append({"what": what, "bytes": scalar_encode(scalar).hex()})

    return {
        "septic": septic,
        "constants": {
            "order": scalar_encode(N).hex(),
            "generator": point_cells(GENERATOR),
            "ladder_start": point_cells(LADDER_START),
            "ladder_offset": point_cells(LADDER_OFFSET),
            "ladder_end": point_cells(LADDER_END),
        },
        "multiples": multiples,
        "signatures": signatures,
        "forged": [
            {
                "what": what,
                "public_key": point_encode(key_).hex(),
                "message": cells_encode(message_).hex(),
                "signature": signature_encode(signature).hex(),
            }
            for what, key_, message_, signature in forged
        ],
        "rejected_points": rejected_points,
        "rejected_scalars": rejected_scalars,
    }


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(f"expected no argument or --check, got {' '.join(sys.argv[1:])}")
    check_curve()
    text = json.dumps(vectors(), indent=1) + "\n"
    if not sys.argv[1:]:
        VECTORS.write_text(text)
    elif VECTORS.read_text() != text:
        sys.exit(f"expected {VECTORS.name} as this program writes it, got another file")


if __name__ == "__main__":
    main()
