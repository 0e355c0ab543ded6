//! `holdfast key`: makes session keys, and signs with them.

use std::{
    fs::File,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
};

use console::Term;
use holdfast_crypto::{Digest, field::digest_to_hex, schnorr};
use holdfast_protocol::{PublicKey, Signature};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    error::{Error, Result, unexpected},
    keystore::{self, Cost},
    ui::{facts, good},
};

/// Where the passphrase is taken from if no file is named: for automation.
pub const PASSPHRASE_VARIABLE: &str = "HOLDFAST_PASSPHRASE";
/// Longest passphrase.
const PASSPHRASE_BYTES_MAX: u64 = 1_024;

#[derive(Debug, Clone)]
pub struct Options {
    pub what: What,
    /// The file that holds the passphrase; else the variable has it, or else it is asked for.
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub enum What {
    New { out: PathBuf },
    Show { file: PathBuf },
    Sign { file: PathBuf, head: Digest },
    Verify { public_key: PublicKey, head: Digest, signature: Signature },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    New { file: PathBuf, public_key: PublicKey },
    Show { public_key: PublicKey },
    Sign { public_key: PublicKey, head: String, signature: Signature },
    Verify { ok: bool, public_key: PublicKey, head: String },
}

pub fn run(options: &Options) -> Result<Report> {
    let passphrase = |twice| passphrase(options.passphrase_file.as_deref(), twice);
    let open = |file: &Path| {
        let bytes = keystore::read(file)?;
        keystore::unseal(&file.display().to_string(), &bytes, &passphrase(false)?)
    };
    Ok(match &options.what {
        What::New { out } => {
            // Said before anybody has to think of a passphrase.
            if out.symlink_metadata().is_ok() {
                return Err(keystore::occupied(out));
            }
            let passphrase = passphrase(true)?;
            let seed = keystore::random_seed();
            let bytes = keystore::seal(&seed, &passphrase, Cost::STANDARD)?;
            // What cannot be opened again must not be anybody's key.
            let public_key = keystore::unseal("what was to be written", &bytes, &passphrase)?.public_key();
            keystore::write(out, &bytes)?;
            Report::New { file: out.clone(), public_key }
        }
        What::Show { file } => Report::Show { public_key: open(file)?.public_key() },
        What::Sign { file, head } => {
            let secret = open(file)?;
            Report::Sign { public_key: secret.public_key(), head: digest_to_hex(head), signature: secret.sign(head) }
        }
        What::Verify { public_key, head, signature } => {
            if !schnorr::verify(public_key, head, signature) {
                let expected = format!("one of {} under {}", digest_to_hex(head), public_key.to_hex());
                return Err(unexpected("signature", expected, "another"));
            }
            Report::Verify { ok: true, public_key: *public_key, head: digest_to_hex(head) }
        }
    })
}

/// The passphrase: from a file, from the environment, or from whoever sits there (a new one `twice`).
pub(crate) fn passphrase(file: Option<&Path>, twice: bool) -> Result<Zeroizing<Vec<u8>>> {
    let (what, mut passphrase) = if let Some(path) = file {
        let fail = |error| Error::file("read", path, error);
        let mut bytes = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX as usize + 2));
        File::open(path).map_err(fail)?.take(PASSPHRASE_BYTES_MAX + 2).read_to_end(&mut bytes).map_err(fail)?;
        (path.display().to_string(), bytes)
    } else if let Some(value) = std::env::var_os(PASSPHRASE_VARIABLE) {
        (PASSPHRASE_VARIABLE.to_owned(), Zeroizing::new(value.into_encoded_bytes()))
    } else {
        ("passphrase".to_owned(), asked(twice)?)
    };
    // The end of the line is not part of it.
    for end in [b'\n', b'\r'] {
        if passphrase.last() == Some(&end) {
            passphrase.pop();
        }
    }
    match passphrase.len() as u64 {
        1..=PASSPHRASE_BYTES_MAX => Ok(passphrase),
        got => Err(unexpected(what, format!("a passphrase of 1 to {PASSPHRASE_BYTES_MAX} bytes"), got)),
    }
}

fn asked(twice: bool) -> Result<Zeroizing<Vec<u8>>> {
    let terminal = Term::stderr();
    if !terminal.is_term() || !std::io::stdin().is_terminal() {
        let error = unexpected("passphrase", "a terminal to ask for it", "none");
        return Err(error.advise(format!("give --passphrase-file FILE, or set {PASSPHRASE_VARIABLE}")));
    }
    let ask = |prompt: &str| -> Result<Zeroizing<Vec<u8>>> {
        let typed = terminal.write_str(prompt).and_then(|()| terminal.read_secure_line());
        let typed = typed.map_err(|error| Error::file("read the passphrase from", Path::new("the terminal"), error))?;
        Ok(Zeroizing::new(typed.into_bytes()))
    };
    let first = ask("Passphrase: ")?;
    if twice && ask("Once more: ")? != first {
        return Err(unexpected("passphrase", "the same twice", "two different ones"));
    }
    Ok(first)
}

impl Report {
    /// What a script can use as it is where one thing was asked for.
    pub fn text(&self) -> String {
        match self {
            Report::New { file, public_key } => facts(&[
                ("file", format!("{}: keep it, and its passphrase; nobody can restore either", file.display())),
                ("public key", public_key.to_hex()),
            ]),
            Report::Show { public_key } => public_key.to_hex(),
            Report::Sign { signature, .. } => signature.to_hex(),
            Report::Verify { .. } => {
                facts(&[("verdict", format!("{}: the signature is one of this head under this key", good("valid")))])
            }
        }
    }
}
