//! Accounts and storage, and what undoes a block.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    bytecode::Bytecode,
    primitives::{StorageKey, StorageValue},
    state::{AccountInfo, EvmState},
};

use super::Mined;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub nonce: u64,
    pub balance: U256,
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

/// The present. Code is never forgotten: it is found by its hash, and a block that is undone takes nothing else along.
#[derive(Debug, Clone, Default)]
pub struct World {
    accounts: BTreeMap<Address, Account>,
    slots: BTreeMap<(Address, U256), U256>,
    codes: BTreeMap<B256, Bytecode>,
}

/// What was before a block, of all that it changed.
#[derive(Debug, Clone, Default)]
pub struct Undo {
    accounts: BTreeMap<Address, Option<Account>>,
    slots: BTreeMap<(Address, U256), U256>,
}

impl Undo {
    /// Goes further back: what `older` says holds.
    pub fn over(&mut self, older: &Self) {
        self.accounts.extend(older.accounts.iter().map(|(&address, &account)| (address, account)));
        self.slots.extend(older.slots.iter().map(|(&slot, &value)| (slot, value)));
    }
}

impl World {
    pub fn account(&self, address: Address) -> Option<Account> {
        self.accounts.get(&address).copied()
    }

    pub fn set_balance(&mut self, address: Address, balance: U256, undo: &mut Undo) {
        let before = self.account(address);
        undo.accounts.entry(address).or_insert(before);
        self.accounts.insert(address, Account { balance, ..before.unwrap_or_default() });
    }

    pub fn set_code(&mut self, address: Address, code: Bytes, undo: &mut Undo) {
        let before = self.account(address);
        undo.accounts.entry(address).or_insert(before);
        let code = Bytecode::new_legacy(code);
        let code_hash = code.hash_slow();
        self.codes.entry(code_hash).or_insert(code);
        self.accounts.insert(address, Account { code_hash, ..before.unwrap_or_default() });
    }

    /// Takes over what a transaction changed.
    pub fn commit(&mut self, state: EvmState, undo: &mut Undo) {
        for (address, account) in state {
            if !account.is_touched() {
                continue;
            }
            let before = self.account(address);
            undo.accounts.entry(address).or_insert(before);
            // Whoever destroys itself was made in the same transaction (EIP-6780), so it has no storage here.
            if account.is_selfdestructed() || account.info.is_empty() {
                self.accounts.remove(&address);
                continue;
            }
            let info = &account.info;
            if let Some(code) = &info.code
                && info.code_hash != KECCAK256_EMPTY
            {
                self.codes.entry(info.code_hash).or_insert_with(|| code.clone());
            }
            self.accounts
                .insert(address, Account { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash });
            for (key, slot) in account.storage.iter().filter(|(_, slot)| slot.is_changed()) {
                let place = (address, *key);
                let before = self.slots.get(&place).copied().unwrap_or_default();
                undo.slots.entry(place).or_insert(before);
                self.set_slot(place, slot.present_value);
            }
        }
    }

    fn set_slot(&mut self, place: (Address, U256), value: U256) {
        if value.is_zero() {
            self.slots.remove(&place);
        } else {
            self.slots.insert(place, value);
        }
    }

    pub fn undo(&mut self, undo: Undo) {
        for (address, account) in undo.accounts {
            match account {
                Some(account) => self.accounts.insert(address, account),
                None => self.accounts.remove(&address),
            };
        }
        for (place, value) in undo.slots {
            self.set_slot(place, value);
        }
    }
}

/// The world as it was some blocks ago (or is, if `past` is empty).
#[derive(Debug)]
pub struct View<'a> {
    pub world: &'a World,
    pub past: Undo,
    /// Those before, by number.
    pub blocks: &'a [Arc<Mined>],
}

impl View<'_> {
    pub fn account(&self, address: Address) -> Option<Account> {
        self.past.accounts.get(&address).copied().unwrap_or_else(|| self.world.account(address))
    }

    pub fn slot(&self, address: Address, key: U256) -> U256 {
        let place = (address, key);
        self.past.slots.get(&place).or_else(|| self.world.slots.get(&place)).copied().unwrap_or_default()
    }

    pub fn code(&self, hash: B256) -> Bytecode {
        self.world.codes.get(&hash).cloned().unwrap_or_default()
    }
}

impl Database for View<'_> {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.account(address).map(|Account { nonce, balance, code_hash }| AccountInfo {
            balance,
            nonce,
            code_hash,
            code: Some(self.code(code_hash)),
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.code(code_hash))
    }

    fn storage(&mut self, address: Address, index: StorageKey) -> Result<StorageValue, Infallible> {
        Ok(self.slot(address, index))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        let block = usize::try_from(number).ok().and_then(|number| self.blocks.get(number));
        Ok(block.map(|block| block.hash).unwrap_or_default())
    }
}
