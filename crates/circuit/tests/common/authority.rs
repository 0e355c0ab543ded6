//! Segments that prove what nobody has asked for: instructions without the signature of a session's key, each as consistent as a dishonest prover can make it.

use holdfast_circuit::{
    air::{SEGMENT_END, SYSTEM_UNSEALED, Table},
    check::Checker,
    schnorr::{LADDER_WIDTH, ROWS},
    witness::Segment,
};
use holdfast_crypto::{Digest, F, scalar::Scalar, schnorr::PublicKey};
use holdfast_exchange::{slots::Kind, step::Step};
use holdfast_protocol::{Instruction, Outcome};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

use super::{
    attacks::{
        ALICE, Adder, BOB, DAVE, OPERATOR, Reader, SECOND, Stage, buy, by_second, deposit, open, register, revoke,
    },
    forge::{At, Claim, Forger, Honest, Place, SessionPlace, Version, key_of, sign},
    ladder::{Forgery, pair},
};

/// Places of cells in a session's record.
pub mod session {
    pub const LIVE: usize = 0;
    pub const WITHDRAWS: usize = 15;
    pub const EXPIRY: usize = 16;
    pub const UNSEALED: usize = 19;
    pub const GENERATION: usize = 20;
    pub const SEQUENCE: usize = 21;
    pub const HEAD: usize = 22;
}

/// Alice's sessions.
pub const FIRST_SESSION: SessionPlace = (ALICE, 0);
pub const SECOND_SESSION: SessionPlace = (ALICE, SECOND);

/// A batch under way in which Alice has asked for something.
pub fn alice_asked() -> Forger {
    let mut forger = Stage::new().forger();
    assert_eq!(forger.apply(&mut Honest, &buy(ALICE, 9_985, 10)), Outcome::Accepted);
    forger
}

/// Reads a slot with some cells changed, in one kind of step.
pub fn reader(
    step: Step,
    kind: Kind,
    change: impl Fn(&mut Version, &[Version]),
) -> Reader<impl FnMut(At, Place, &[Version]) -> Option<Version>> {
    Reader(move |at: At, (of, _, _): Place, versions: &[Version]| {
        let mut version = versions.last()?.clone();
        (at.step == step && of == kind).then(|| {
            change(&mut version, versions);
            version
        })
    })
}

/// The same with one cell set.
pub fn reader_of(
    step: Step,
    kind: Kind,
    cell: usize,
    value: i64,
) -> Reader<impl FnMut(At, Place, &[Version]) -> Option<Version>> {
    reader(step, kind, move |version, _| version.cells[cell] = value)
}

/// A batch closed with a session that nobody has signed for.
pub fn unsealed_batch(checker: &Checker<'_>) -> Segment {
    alice_asked().finish(checker, true)
}

/// The same, with a segment's row that says that all are sealed.
pub fn unsealed_batch_denied(checker: &Checker<'_>) -> Segment {
    let mut segment = alice_asked().finish(checker, true);
    let end = SEGMENT_END;
    let rows = &mut segment.traces[Table::Segment.index()].as_mut().expect("the table has rows").values;
    assert_eq!(rows[end + SYSTEM_UNSEALED], F::ONE);
    rows[end + SYSTEM_UNSEALED] = F::ZERO;
    segment
}

/// A session sealed without a signature.
pub fn seal_without_signature(checker: &Checker<'_>) -> Segment {
    let mut forger = alice_asked();
    let _claim = forger.seal_unchecked(&mut Honest, FIRST_SESSION);
    forger.finish(checker, true)
}

/// A session sealed by rows about its own key and head, with R and s that are none of them.
pub fn seal_by_invention(checker: &Checker<'_>) -> Segment {
    let mut forger = alice_asked();
    let claim = forger.seal_unchecked(&mut Honest, FIRST_SESSION);
    let invented = PublicKey::new(*holdfast_sim::keyring::secret(0).public_key().point());
    invent(&mut forger, &claim, &invented, &Scalar::from_u128(12_345));
    forger.finish(checker, true)
}

/// Appends rows for a claim, of any point as R and any scalar.
pub fn invent(forger: &mut Forger, claim: &Claim, commitment: &PublicKey, scalar: &Scalar) {
    let key = key_of(claim).expect("a registered key");
    let rows = Forgery::new(pair(key.point()), claim.1, pair(commitment.point()), scalar).rows();
    forger.signatures.extend(rows.signature);
    forger.ladders.extend(rows.ladder);
}

/// Two sessions sealed, the second with the ladder of the first.
pub fn repeated_ladder(checker: &Checker<'_>) -> Segment {
    let mut forger = two_sealed();
    let (first, second) = forger.ladders.split_at_mut(ROWS * LADDER_WIDTH);
    second.copy_from_slice(first);
    forger.finish(checker, true)
}

/// Two sessions sealed, with two rows of the ladders of their signatures exchanged, but for the number of the step.
pub fn exchanged_rows(checker: &Checker<'_>, rows: [usize; 2]) -> Segment {
    let mut forger = two_sealed();
    let (first, second) = forger.ladders.split_at_mut(ROWS * LADDER_WIDTH);
    let cells = |row: usize| row * LADDER_WIDTH + 2..(row + 1) * LADDER_WIDTH;
    first[cells(rows[0])].swap_with_slice(&mut second[cells(rows[1])]);
    forger.finish(checker, true)
}

fn two_sealed() -> Forger {
    let mut forger = alice_asked();
    forger.apply(&mut Honest, &deposit(ALICE, 100));
    forger.seal_all(&mut Honest);
    assert_eq!(forger.ladders.len(), 2 * ROWS * LADDER_WIDTH);
    forger
}

/// An instruction by a key that is not registered, or no longer.
pub fn unregistered_key(checker: &Checker<'_>, revoked: bool) -> Segment {
    let mut forger = Stage::new().forger();
    let instruction = if revoked {
        forger.apply(&mut Honest, &revoke(ALICE, SECOND));
        by_second(buy(ALICE, 9_985, 10))
    } else {
        Instruction { key: super::attacks::key_index(3), ..buy(ALICE, 9_985, 10) }
    };
    forger.apply(&mut Honest, &instruction);
    forger.finish(checker, false)
}

/// A key replaced, or revoked, before it has signed what it is said to have asked for.
pub fn unsealed_key_lost(checker: &Checker<'_>, replaces: bool) -> Segment {
    let mut forger = alice_asked();
    let instruction = if replaces { register(ALICE, 0, true, 40) } else { revoke(ALICE, 0) };
    assert_eq!(forger.apply(&mut Honest, &instruction), Outcome::Accepted);
    forger.finish(checker, false)
}

/// Columns of the fields that extension blocks are made of, from the right: of `open` (owner) and `register` (x, y).
pub const fn extension_column(step: Step) -> usize {
    // active, clock, the digests, the number of words, the grant (5), sender, account (with its limbs), and of `register` key, withdraws, replaces, expiry (3).
    match step {
        Step::Open => 2 + 2 * 8 + 1 + 5 + 1 + 3,
        _ => 2 + 3 * 8 + 1 + 5 + 1 + 3 + 1 + 2 + 3,
    }
}

/// An owner, or a public key, other than the one that is published and signed.
pub fn altered_extension(checker: &Checker<'_>, step: Step, cell: usize) -> Segment {
    let mut forger = Stage::new().forger();
    let instruction = match step {
        Step::Open => open(OPERATOR, DAVE),
        _ => register(ALICE, 2, false, 40),
    };
    let mut adder = Adder { clock: 2, column: extension_column(step) + cell, added: 1 };
    assert_eq!(forger.apply(&mut adder, &instruction), Outcome::Accepted);
    forger.finish(checker, false)
}

/// What Alice's first key has signed: the head after each of these instructions.
pub fn signed_heads(instructions: &[Instruction]) -> Vec<Digest> {
    let mut forger = Stage::new().forger();
    let head = |instruction: &Instruction| {
        forger.apply(&mut Honest, instruction);
        forger.session(FIRST_SESSION).head
    };
    instructions.iter().map(head).collect()
}

/// These instructions carried out, and the session sealed with the signature of a head.
pub fn sealed_with(mut forger: Forger, checker: &Checker<'_>, session: SessionPlace, head: &Digest) -> Segment {
    let (public_key, _) = forger.seal_unchecked(&mut Honest, session);
    check_head(&mut forger, public_key, head);
    forger.finish(checker, false)
}

/// Appends the rows of a valid signature of a head.
pub fn check_head(forger: &mut Forger, public_key: [F; 14], head: &Digest) {
    let (public_key, signature) = sign(&(public_key, *head)).expect("a test key");
    forger.check_signature(&public_key, head, &signature);
}

/// A batch of Bob's, sealed with the signature by Alice's key of Bob's head.
pub fn sealed_by_another_key(checker: &Checker<'_>) -> Segment {
    let mut forger = Stage::new().forger();
    forger.apply(&mut Honest, &buy(BOB, 9_985, 10));
    let (_, head) = forger.seal_unchecked(&mut Honest, (BOB, 0));
    let alices = forger.session(FIRST_SESSION).public_key;
    check_head(&mut forger, alices, &head);
    forger.finish(checker, true)
}
