//! Who signs in a replay.
//!
//! The people who sent a file's orders are not there to sign them again: a seed stands for all of them. Each account has one session key, and the account's
//! number and the seed give its secret. Whoever knows the seed has every key.

use std::collections::BTreeMap;

use holdfast_protocol::{
    AccountId, Address, Command, Deployment, KeyIndex, PublicKey, Request, SecretKey, TimeMs, authority::Session,
};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::FIRST_TRADER;

/// The seed unless another is given. It is as public as this line.
pub const KEY_SEED_DEFAULT: &str = "holdfast replay";
/// Keys that a place has had, with the first one.
const GENERATION: u32 = 1;

const KEY_TAG: &[u8] = b"holdfast/replay/key";
const OWNER_TAG: &[u8] = b"holdfast/replay/owner";

/// The session keys of all accounts of a replay, and where the chain of each stands.
#[derive(Debug)]
pub struct Wallets(Vec<Wallet>);

#[derive(Debug)]
struct Wallet {
    public_key: PublicKey,
    session: Session,
}

impl Wallets {
    /// Where replays are deployed: nowhere. (31337 is the number that development chains have.)
    pub const DEPLOYMENT: Deployment = Deployment { chain_id: 31_337, contract: Address::ZERO };
    /// The place of every account's key.
    pub const KEY: KeyIndex = match KeyIndex::new(0) {
        Ok(key) => key,
        Err(_) => panic!("out of range"),
    };
    /// Of every key: the last moment that there is.
    pub const EXPIRY: TimeMs = match TimeMs::new((TimeMs::BOUND - 1) as u64) {
        Ok(time) => time,
        Err(_) => panic!("out of range"),
    };

    /// The wallets of the roles and of this many traders.
    pub fn new(seed: &str, traders: u32) -> Self {
        let domain = Self::DEPLOYMENT.domain();
        let wallet = |account| {
            let account = AccountId::new(account).expect("replays have far fewer accounts than there may be");
            let secret = Self::secret(seed, account);
            let public_key = secret.public_key();
            Wallet { public_key, session: Session::new(secret, &domain, account, Self::KEY, GENERATION) }
        };
        Self((0..FIRST_TRADER.get() + traders).into_par_iter().map(wallet).collect())
    }

    /// The secret of an account's session key.
    pub fn secret(seed: &str, account: AccountId) -> SecretKey {
        SecretKey::from_seed(hash(&[KEY_TAG, &account.get().to_le_bytes(), seed.as_bytes()]))
    }

    /// # Panics
    /// If the account has no wallet here; so do the others.
    pub fn public_key(&self, account: AccountId) -> PublicKey {
        self.0[account.get() as usize].public_key
    }

    /// To whom the account's withdrawals go: a made-up address, of which nobody has the key.
    pub fn owner(account: AccountId) -> Address {
        Address::from_slice(&hash(&[OWNER_TAG, &account.get().to_le_bytes()])[..Address::len_bytes()])
    }

    /// The commands as their signers' sessions ask for them next, in this order.
    pub fn request_all(&mut self, commands: &[Command]) -> Vec<Request> {
        let mut asked: BTreeMap<usize, Vec<(usize, Command)>> = BTreeMap::new();
        for (index, command) in commands.iter().enumerate() {
            let account = command.signer().get() as usize;
            assert!(account < self.0.len(), "account {account} has no wallet");
            asked.entry(account).or_default().push((index, *command));
        }
        // The chain of a session goes step by step, but the sessions know nothing of each other.
        let wallets = self.0.par_iter_mut().enumerate();
        let signed = wallets.filter_map(|(account, wallet)| Some((wallet, asked.get(&account)?)));
        let mut requests: Vec<(usize, Request)> = signed
            .flat_map_iter(|(wallet, asked)| {
                asked.iter().map(|(index, command)| (*index, wallet.session.request(*command)))
            })
            .collect();
        requests.sort_unstable_by_key(|(index, _)| *index);
        requests.into_iter().map(|(_, request)| request).collect()
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
