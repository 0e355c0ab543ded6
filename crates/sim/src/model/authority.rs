//! Who may ask: owners and session keys.
//!
//! The model knows neither heads nor signatures. It is told what the sequencer lets in, and keeps count.

use std::collections::BTreeMap;

use holdfast_protocol::{
    AccountId, Address, Genesis, Instruction, KeyIndex, Open, Outcome, PublicKey, Register, Reject, Revoke, TimeMs,
    limits,
};

use super::{Model, ensure};
use crate::{
    coverage::Branch,
    view::{SessionState, Venue},
};

/// The owners of the open accounts, and the places for session keys that ever had one.
#[derive(Debug, Clone, Default)]
pub(super) struct Authority {
    owners: BTreeMap<AccountId, Address>,
    places: BTreeMap<(AccountId, KeyIndex), Place>,
}

/// One of an account's places for a session key.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Keys that were registered here so far.
    generation: u32,
    session: Option<Session>,
}

#[derive(Debug, Clone)]
struct Session {
    public_key: PublicKey,
    withdraws: bool,
    expiry: TimeMs,
    /// Instructions so far.
    sequence: u32,
    unsealed: bool,
}

/// What a session says of its command.
pub(super) struct Grant {
    pub key: KeyIndex,
    pub expired: bool,
    pub withdraws: bool,
    /// Ethereum asks.
    pub forced: bool,
}

impl Authority {
    pub fn new(genesis: &Genesis) -> Self {
        let mut authority = Self::default();
        for account in &genesis.accounts {
            authority.owners.insert(account.account, account.owner);
            for (index, key) in account.keys.iter().enumerate() {
                let index = KeyIndex::new(index as u32).expect("the genesis is bounded");
                let place = authority.places.entry((account.account, index)).or_default();
                place.register(key.public_key, key.withdraws, key.expiry);
            }
        }
        authority
    }
}

impl Place {
    fn register(&mut self, public_key: PublicKey, withdraws: bool, expiry: TimeMs) {
        self.generation += 1;
        self.session = Some(Session { public_key, withdraws, expiry, sequence: 0, unsealed: false });
    }
}

impl Model {
    /// As if a place had had so many keys: the way to one that is worn out which does not lead over 2^28 registrations.
    pub fn set_generation(&mut self, account: AccountId, key: KeyIndex, generation: u32) {
        assert!(generation < limits::GENERATIONS_MAX);
        self.authority.places.entry((account, key)).or_default().generation = generation;
    }

    /// Applies an instruction of a registered key; first seals the key that it is about to take away.
    ///
    /// # Panics
    /// If no such key is registered.
    pub fn run(&mut self, instruction: &Instruction) -> Outcome {
        if let Some((account, key)) = self.seal_due(instruction) {
            self.seal(account, key);
        }
        self.apply(instruction).expect("an instruction of a registered key")
    }

    /// A session's key has signed all that it has asked for so far.
    ///
    /// # Panics
    /// If there is nothing to seal.
    pub fn seal(&mut self, account: AccountId, key: KeyIndex) {
        let session = self.session_mut(account, key).filter(|session| session.unsealed);
        session.expect("only what is unsealed is sealed").unsealed = false;
    }

    pub fn owner(&self, account: AccountId) -> Option<Address> {
        self.authority.owners.get(&account).copied()
    }

    pub fn session(&self, account: AccountId, key: KeyIndex) -> SessionState {
        let Some(Place { generation, session }) = self.authority.places.get(&(account, key)) else {
            return SessionState::default();
        };
        let generation = *generation;
        match session {
            None => SessionState { generation, ..SessionState::default() },
            Some(Session { public_key, withdraws, expiry, sequence, unsealed }) => SessionState {
                public_key: Some(*public_key),
                withdraws: *withdraws,
                expiry: *expiry,
                unsealed: *unsealed,
                generation,
                sequence: *sequence,
            },
        }
    }

    /// Every place that ever had a key.
    pub fn sessions(&self) -> BTreeMap<(AccountId, KeyIndex), SessionState> {
        self.authority.places.keys().map(|&(account, key)| ((account, key), self.session(account, key))).collect()
    }

    pub fn owners(&self) -> &BTreeMap<AccountId, Address> {
        &self.authority.owners
    }

    /// Number of sessions that are not sealed.
    pub(super) fn unsealed(&self) -> u32 {
        self.registered().filter(|session| session.unsealed).count() as u32
    }

    /// Takes an instruction into its session. `None` if it never gets that far: see [`Model::apply`].
    pub(super) fn authorise(&mut self, instruction: &Instruction) -> Option<Grant> {
        if self.seal_due(instruction).is_some() {
            return None;
        }
        if instruction.is_forced() {
            self.forced += u32::from(self.settled);
            return self.settled.then_some(Grant {
                key: instruction.key,
                expired: false,
                withdraws: true,
                forced: true,
            });
        }
        let now = self.time;
        let (account, key) = instruction.session();
        let session = self.session_mut(account, key).filter(|session| session.sequence < limits::SEQUENCE_MAX)?;
        session.sequence += 1;
        session.unsealed = true;
        let grant = Grant { key, expired: now > session.expiry, withdraws: session.withdraws, forced: false };
        let last_moment = now == session.expiry;
        self.touched.sessions.insert((account, key));
        self.hit_if(last_moment, Branch::KeyInItsLastMoment);
        self.hit_if(!grant.expired && !grant.withdraws, Branch::KeyThatMayNotWithdraw);
        Some(grant)
    }

    /// Who opens accounts, registers keys and credits deposits: Ethereum where a contract holds the money, else the operator.
    pub(super) fn is_registrar(&self, grant: &Grant, sender: AccountId) -> bool {
        if self.settled { grant.forced } else { sender == self.operator }
    }

    pub(super) fn open(&mut self, grant: &Grant, open: &Open) -> Result<(), Reject> {
        let Open { sender, account, owner } = *open;
        ensure(self.is_registrar(grant, sender), Reject::NotOperator)?;
        ensure(self.owner(account).is_none() && account.get() != limits::BRIDGE, Reject::AccountOpen)?;

        self.touched.accounts.insert(account);
        self.authority.owners.insert(account, owner);
        self.hit(Branch::OpenAccepted);
        Ok(())
    }

    pub(super) fn register(&mut self, grant: &Grant, register: &Register) -> Result<(), Reject> {
        let Register { sender, account, key, replaces, withdraws, expiry, public_key } = *register;
        ensure(self.is_registrar(grant, sender), Reject::NotOperator)?;
        ensure(self.owner(account).is_some(), Reject::AccountNotOpen)?;
        let old = self.session(account, key);
        let held = old.public_key.is_some();
        if (sender, grant.key) == (account, key) {
            self.hit(if replaces { Branch::OwnKeyReplaced } else { Branch::OwnKeyRegistered });
            return Err(Reject::OwnKey);
        }
        if replaces && !held {
            self.hit(if old.generation == 0 { Branch::KeyUnknownNever } else { Branch::KeyUnknownRevoked });
            return Err(Reject::KeyUnknown);
        }
        ensure(replaces || !held, Reject::KeyInUse)?;
        ensure(old.generation + 1 < limits::GENERATIONS_MAX, Reject::KeyWornOut)?;
        assert!(!old.unsealed, "a key is sealed before it is replaced");

        self.hit(match (held, old.generation) {
            (true, _) => Branch::RegisterReplaces,
            (false, 0) => Branch::RegisterFirst,
            (false, _) => Branch::RegisterAfterRevoke,
        });
        let elsewhere = self.registered().any(|session| session.public_key == public_key);
        self.hit_if(old.public_key == Some(public_key), Branch::RegisterSameKey);
        self.hit_if(old.public_key != Some(public_key) && elsewhere, Branch::RegisterKeyOfOtherPlace);
        self.hit_if(old.sequence > 0, Branch::RegisterOverUsedKey);
        self.hit_if(old.public_key.is_some() && old.expiry < self.time, Branch::RegisterOverExpiredKey);
        self.hit(if withdraws { Branch::RegisterWithdraws } else { Branch::RegisterWithoutWithdraws });
        self.hit_if(expiry < self.time, Branch::RegisterExpired);
        self.hit_if(account == sender, Branch::RegisterForOperator);
        self.touched.sessions.insert((account, key));
        self.authority.places.entry((account, key)).or_default().register(public_key, withdraws, expiry);
        Ok(())
    }

    pub(super) fn revoke(&mut self, grant: &Grant, revoke: &Revoke) -> Result<(), Reject> {
        let Revoke { sender, account, key } = *revoke;
        ensure(self.is_registrar(grant, sender), Reject::NotOperator)?;
        ensure((sender, grant.key) != (account, key), Reject::OwnKey)?;
        let old = self.session(account, key);
        if old.public_key.is_none() {
            let open = self.owner(account).is_some();
            self.hit(if open { Branch::RevokeNoKey } else { Branch::RevokeOfNoAccount });
            return Err(Reject::KeyUnknown);
        }
        assert!(!old.unsealed, "a key is sealed before it is revoked");

        self.hit(if old.sequence > 0 { Branch::RevokeUsedKey } else { Branch::RevokeUnusedKey });
        self.hit_if(old.expiry < self.time, Branch::RevokeExpiredKey);
        self.touched.sessions.insert((account, key));
        self.authority.places.get_mut(&(account, key)).expect("a place with a key").session = None;
        Ok(())
    }

    pub(super) fn assert_authority(&self) {
        for ((account, key), place) in &self.authority.places {
            let open = self.owner(*account).is_some();
            assert!(place.session.is_none() || open, "account {account}, key {key}: the account is open");
            assert!(place.session.is_none() || place.generation > 0, "account {account}, key {key}: it was registered");
            assert!(place.generation < limits::GENERATIONS_MAX, "account {account}, key {key}: generation");
        }
        for account in self.accounts.keys() {
            assert!(self.owner(*account).is_some(), "account {account} did something, and so it is open");
        }
    }

    fn registered(&self) -> impl Iterator<Item = &Session> {
        self.authority.places.values().filter_map(|place| place.session.as_ref())
    }

    fn session_mut(&mut self, account: AccountId, key: KeyIndex) -> Option<&mut Session> {
        self.authority.places.get_mut(&(account, key))?.session.as_mut()
    }
}
