//! Who may ask: session keys, the chains of their instructions, and their signatures.
//!
//! `authorise` is the first step of every instruction: the session's chain absorbs it, whatever becomes of it, and the session counts as *unsealed*. `seal` is no
//! instruction: between any two instructions, whoever makes the proof checks the signature of a session's head, and the session is sealed again. A batch can
//! only be closed when no session is unsealed: so every instruction in it is covered by a signature of its session's key. What Ethereum forces has no session of its own: the inbox absorbs it,
//! and is never unsealed.

use holdfast_protocol::{
    Reject,
    limits::{ACCOUNT_BITS, BRIDGE, GENERATIONS_MAX, INBOX},
};

use super::{Guard, finish, id_plus_one};
use crate::{
    fields::{InstructionFields, OpenFields, RegisterFields, RevokeFields, SealFields},
    flow::{Grant, Next},
    machine::{Bit, Id, Machine},
    slots::{Owner, Session},
};

/// Absorbs an instruction into its session's chain, and finds what the session grants.
#[inline(always)]
pub fn authorise<M: Machine>(m: &mut M, sequence: Id<M>, c: InstructionFields<M::V>) {
    let (bridge, inbox) = (m.id(BRIDGE), m.id(INBOX));
    let account = m.id_select(&c.forced, &bridge, &c.account);
    // The inbox is for what is forced alone: no key's signature can seal it.
    let is_bridge = m.id_equal(&account, &bridge);
    let alone = m.same(&is_bridge, &c.forced);
    m.check(&alone);
    let is_inbox = m.id_equal(&c.key, &inbox);
    m.check_if(&c.forced, &is_inbox);

    let mut session = m.open_session(&account, &c.key);
    // The sequencer lets no instruction in without a signature; without a key there is none.
    m.check(&session.live);
    session.head = m.absorb(&session.head, &c.cells, &session.sequence);
    session.sequence = id_plus_one(m, &session.sequence);
    // What is forced needs no seal: Ethereum has the same chain.
    let signed = m.not(&c.forced);
    let sealed = m.not(&session.unsealed);
    let newly = m.and(&sealed, &signed);
    session.unsealed = m.or(&session.unsealed, &signed);
    let (expiry, withdraws) = (session.expiry.clone(), session.withdraws.clone());
    m.close_session(&account, &c.key, session);

    let mut system = m.open_system();
    let newly = m.id_of(&newly);
    system.unsealed = m.id_add(&system.unsealed, &newly);
    let valid = m.word_at_most(&system.time, &expiry);
    m.close_system(system);

    let expired = m.not(&valid);
    let always = m.bit(true);
    m.goto(&always, Next::Command(Grant { sequence, account, key: c.key, expired, withdraws }));
}

/// Checks that the session's key has signed its head: all that it has asked for so far.
#[inline(always)]
pub fn seal<M: Machine>(m: &mut M, sequence: Id<M>, c: SealFields<M::V>) {
    let mut session = m.open_session(&c.account, &c.key);
    m.check(&session.unsealed);
    m.signed(&session.public_key, &session.head);
    session.unsealed = m.bit(false);
    m.close_session(&c.account, &c.key, session);

    let mut system = m.open_system();
    let one = m.id(1);
    system.unsealed = m.id_sub(&system.unsealed, &one);
    m.close_system(system);

    let always = m.bit(true);
    m.goto(&always, Next::Idle(sequence));
}

/// Gives an account its owner, if the registrar says so.
#[inline(always)]
pub fn open<M: Machine>(m: &mut M, grant: Grant<M::V>, c: OpenFields<M::V>) {
    let mut signer = m.open_session(&grant.account, &grant.key);
    let zero = m.id(0);
    signer.head = m.absorb(&signer.head, &c.owner, &zero);
    m.close_session(&grant.account, &grant.key, signer);

    let (mut guard, _) = registrar_only(m, &grant);
    let owner = m.open_owner(&c.account);
    // The bridge is nobody's: without an owner it can have no keys of its own.
    let bridge = m.id(BRIDGE);
    let is_bridge = m.id_equal(&c.account, &bridge);
    let taken = m.or(&owner.open, &is_bridge);
    guard.refuse(m, &taken, Reject::AccountOpen);
    let new =
        Owner { open: m.or(&owner.open, &guard.ok), address: m.fields_select(&guard.ok, &c.owner, &owner.address) };
    m.close_owner(&c.account, new);
    finish(m, &grant.sequence, &guard);
}

/// Registers a session key, or replaces one, if the registrar says so.
#[inline(always)]
pub fn register<M: Machine>(m: &mut M, grant: Grant<M::V>, c: RegisterFields<M::V>) {
    let mut signer = m.open_session(&grant.account, &grant.key);
    let zero = m.id(0);
    for block in [&c.x, &c.y] {
        signer.head = m.absorb(&signer.head, block, &zero);
    }
    m.close_session(&grant.account, &grant.key, signer);

    let (mut guard, by_registrar) = registrar_only(m, &grant);
    let owner = m.peek_owner(&c.account);
    guard.refuse_unless(m, &owner.open, Reject::AccountNotOpen);
    let own = is_own_key(m, &grant, &c.account, &c.key);
    guard.refuse(m, &own, Reject::OwnKey);
    let old = m.open_session(&c.account, &c.key);
    let fresh = m.not(&old.live);
    let missing = m.and(&c.replaces, &fresh);
    guard.refuse(m, &missing, Reject::KeyUnknown);
    let keeps = m.not(&c.replaces);
    let taken = m.and(&keeps, &old.live);
    guard.refuse(m, &taken, Reject::KeyInUse);
    let last = m.id(GENERATIONS_MAX - 1);
    let room = m.id_less(&old.generation, &last);
    guard.refuse_unless(m, &room, Reject::KeyWornOut);
    check_sealed(m, &by_registrar, &own, &old);

    let deployment = m.peek_deployment();
    let generation = id_plus_one(m, &old.generation);
    // session = account + 2^20 × key
    let session = m.id_scale(&c.key, 1 << ACCOUNT_BITS);
    let session = m.id_add(&session, &c.account);
    let session = m.fields_of(&session);
    let head = m.absorb(&deployment.domain, &session, &generation);
    let public_key = m.fields_join(&c.x, &c.y);
    let new = Session {
        live: m.or(&old.live, &guard.ok),
        public_key: m.fields_select(&guard.ok, &public_key, &old.public_key),
        withdraws: select_bit(m, &guard.ok, &c.withdraws, &old.withdraws),
        expiry: m.word_select(&guard.ok, &c.expiry, &old.expiry),
        unsealed: old.unsealed,
        generation: m.id_select(&guard.ok, &generation, &old.generation),
        sequence: m.id_select(&guard.ok, &zero, &old.sequence),
        head: m.fields_select(&guard.ok, &head, &old.head),
    };
    m.close_session(&c.account, &c.key, new);
    finish(m, &grant.sequence, &guard);
}

/// Takes a session key away, if the registrar says so.
#[inline(always)]
pub fn revoke<M: Machine>(m: &mut M, grant: Grant<M::V>, c: RevokeFields<M::V>) {
    let (mut guard, by_registrar) = registrar_only(m, &grant);
    let own = is_own_key(m, &grant, &c.account, &c.key);
    guard.refuse(m, &own, Reject::OwnKey);
    let old = m.open_session(&c.account, &c.key);
    guard.refuse_unless(m, &old.live, Reject::KeyUnknown);
    check_sealed(m, &by_registrar, &own, &old);

    let (no, zero, never) = (m.bit(false), m.id(0), m.word(0));
    let (no_key, no_head) = (m.fields_zero(), m.fields_zero());
    let new = Session {
        live: select_bit(m, &guard.ok, &no, &old.live),
        public_key: m.fields_select(&guard.ok, &no_key, &old.public_key),
        withdraws: select_bit(m, &guard.ok, &no, &old.withdraws),
        expiry: m.word_select(&guard.ok, &never, &old.expiry),
        unsealed: old.unsealed,
        generation: old.generation,
        sequence: m.id_select(&guard.ok, &zero, &old.sequence),
        head: m.fields_select(&guard.ok, &no_head, &old.head),
    };
    m.close_session(&c.account, &c.key, new);
    finish(m, &grant.sequence, &guard);
}

/// The guards that the registrar's commands begin with, and whether it is the registrar that asks.
#[inline(always)]
fn registrar_only<M: Machine>(m: &mut M, grant: &Grant<M::V>) -> (Guard<M>, Bit<M>) {
    let system = m.peek_system();
    let mut guard = Guard::granted(m, grant);
    let is_registrar = m.id_equal(&grant.account, &system.registrar);
    guard.refuse_unless(m, &is_registrar, Reject::NotOperator);
    (guard, is_registrar)
}

/// The place that a command is about is that of the key that signs it. (Its own signature would be due under a key that is gone.)
#[inline(always)]
fn is_own_key<M: Machine>(m: &mut M, grant: &Grant<M::V>, account: &Id<M>, key: &Id<M>) -> Bit<M> {
    let same_account = m.id_equal(&grant.account, account);
    let same_key = m.id_equal(&grant.key, key);
    m.and(&same_account, &same_key)
}

/// A key that goes must not leave instructions behind that its signature does not cover. So when the registrar asks for it, the key is sealed first, whatever
/// becomes of the command. (Not for its own key: its own command would be among them, and is refused. Nor for anybody else's asking, which costs no one a seal.)
#[inline(always)]
fn check_sealed<M: Machine>(m: &mut M, by_registrar: &Bit<M>, own: &Bit<M>, old: &Session<M::V>) {
    let (other, sealed) = (m.not(own), m.not(&old.unsealed));
    let due = m.and(by_registrar, &other);
    m.check_if(&due, &sealed);
}

#[inline(always)]
fn select_bit<M: Machine>(m: &mut M, condition: &Bit<M>, then: &Bit<M>, otherwise: &Bit<M>) -> Bit<M> {
    let kept = m.not(condition);
    let (then, otherwise) = (m.and(condition, then), m.and(&kept, otherwise));
    m.or(&then, &otherwise)
}
