use super::*;

/// So little that a test can open thousands of files.
const CHEAP: Cost = Cost { n: 2, r: 1, p: 1 };
const SEED: [u8; SEED_BYTES] = *b"thirty-two bytes of some entropy";
const PASSPHRASE: &[u8] = b"correct horse battery staple";

fn file() -> Vec<u8> {
    seal(&SEED, PASSPHRASE, CHEAP).unwrap()
}

fn open(bytes: &[u8]) -> Result<SecretKey> {
    unseal("k.json", bytes, PASSPHRASE)
}

/// A file that was changed and written in its form fails, and says this.
fn check_error(change: impl FnOnce(&mut Keystore), expected: &str) {
    let mut keystore: Keystore = serde_json::from_slice(&file()).unwrap();
    change(&mut keystore);
    let error = open(&pretty(&keystore)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn sealed_seed_is_opened_by_its_passphrase_alone() {
    let secret = open(&file()).unwrap();
    assert_eq!(secret.public_key(), SecretKey::from_seed(SEED).public_key());
    for wrong in
        [&b""[..], b"correct horse battery stapl", b"correct horse battery staple\n", b"Correct horse battery staple"]
    {
        let error = unseal("k.json", &file(), wrong).unwrap_err();
        let expected = "k.json: expected the passphrase that it was made with, got another, or a file that was changed";
        assert_eq!(error.to_string(), expected);
    }
    assert_ne!(file(), file(), "every file has its own salt and initialisation vector");
    assert_ne!(random_seed(), random_seed());
}

/// Vectors of the format's definition and of Geth: what others have encrypted.
#[test]
fn published_vectors_decrypt() {
    let vectors = [
        (
            r#"{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
                "ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt",
                "kdfparams":{"dklen":32,"n":262144,"r":1,"p":8,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
                "mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"}"#,
            "testpassword",
            "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d",
        ),
        (
            r#"{"cipher":"aes-128-ctr","cipherparams":{"iv":"e0c41130a323adc1446fc82f724bca2f"},
                "ciphertext":"9517cd5bdbe69076f9bf5057248c6c050141e970efa36ce53692d5d59a3984","kdf":"scrypt",
                "kdfparams":{"dklen":32,"n":2,"r":8,"p":1,"salt":"711f816911c92d649fb4c84b047915679933555030b3552c1212609b38208c63"},
                "mac":"d5e116151c6aa71470e67a7d42c9620c75c4d23229847dcc127794f0732b0db5"}"#,
            "foo",
            "fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35",
        ),
    ];
    for (json, passphrase, expected) in vectors {
        let crypto: Crypto = serde_json::from_str(json).unwrap();
        assert_eq!(hex::encode(&*crypto.decrypt("vector", passphrase.as_bytes()).unwrap()), expected);
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    let honest = file();
    for length in 0..honest.len() {
        assert!(open(&honest[..length]).is_err(), "{length} of {} bytes", honest.len());
    }
    for position in 0..honest.len() {
        for bit in 0..8 {
            let mut bytes = honest.clone();
            bytes[position] ^= 1 << bit;
            assert!(open(&bytes).is_err(), "bit {bit} of byte {position}");
        }
    }
    assert!(open(&[&honest[..], b"\n"].concat()).is_err(), "a line longer");
}

#[test]
fn fields_of_another_kind_or_length_are_errors() {
    let text = String::from_utf8(file()).unwrap();
    for (old, new, expected) in [
        ("aes-128-ctr", "aes-128-cbc", "unknown variant `aes-128-cbc`"),
        ("scrypt", "pbkdf2", "unknown variant `pbkdf2`"),
        ("\"version\": 3", "\"version\": 4", "k.json, version: expected 3, got 4"),
        ("\"version\": 3", "\"version\": 3,\n  \"x\": 1", "unknown field `x`"),
        ("  \"version\"", "\t\"version\"", "expected a key file's one form in JSON, got another"),
    ] {
        assert!(text.contains(old));
        let error = open(text.replacen(old, new, 1).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("k.json") && error.contains(expected), "{new}: {error}");
    }
    check_error(|k| k.crypto.kdfparams.dklen = 16, "k.json, dklen: expected 32, got 16");
    check_error(|k| k.crypto.cipherparams.iv.0.truncate(15), "k.json, iv: expected 16 bytes, got 15");
    check_error(|k| k.crypto.mac.0.truncate(31), "expected the passphrase");
    check_error(|k| k.crypto.mac.0.clear(), "expected the passphrase");
    check_error(|k| k.crypto.ciphertext.0.clear(), "expected the passphrase");
    check_error(|k| k.crypto.kdfparams.salt.0.clear(), "expected the passphrase");
    // A whole file of a seed that is none.
    let short = |k: &mut Keystore| {
        let derived = derive("k.json", PASSPHRASE, &k.crypto.kdfparams.salt.0, CHEAP).unwrap();
        k.crypto.ciphertext.0.truncate(31);
        k.crypto.mac.0 = mac(&derived, &k.crypto.ciphertext.0).to_vec();
    };
    check_error(short, "k.json, ciphertext: expected 32 bytes, got 31");
}

/// The MAC does not cover the initialisation vector: another key comes out.
#[test]
fn changed_initialisation_vector_is_noticed_by_the_public_key() {
    check_error(|k| k.crypto.cipherparams.iv.0[0] ^= 1, "k.json, public_key: expected");
    let other = SecretKey::from_seed([7; SEED_BYTES]).public_key();
    check_error(|k| k.public_key = other, "k.json, id: expected");
    let both = |k: &mut Keystore| (k.public_key, k.id) = (other, id(&other));
    check_error(both, &format!("k.json, public_key: expected {}", SecretKey::from_seed(SEED).public_key().to_hex()));
}

#[test]
fn costs_that_would_exhaust_the_machine_are_refused_before_they_are_paid() {
    let costs = [
        (1 << 63, 8, 1),
        (u64::MAX, u32::MAX, u32::MAX),
        // One more than the memory that is allowed, and than the work.
        (1 << 20, 9, 1),
        (1 << 23, 2, 1),
        (1 << 18, 8, 9),
        (2, 1, 1 << 24),
        (2, u32::MAX, 1),
        // What scrypt is not defined for.
        (0, 8, 1),
        (1, 8, 1),
        (3, 8, 1),
        (2, 0, 1),
        (2, 8, 0),
    ];
    for (n, r, p) in costs {
        let change = |k: &mut Keystore| {
            let params = &mut k.crypto.kdfparams;
            (params.n, params.r, params.p) = (n, r, p);
        };
        check_error(change, "k.json, cost of scrypt: expected n a power of two, n × r at most 8388608");
        check_error(change, &format!("got n = {n}, r = {r}, p = {p}"));
    }
    for cost in [Cost::STANDARD, Cost { n: 1 << 20, r: 8, p: 2 }] {
        cost.params("k.json").unwrap();
    }
}

#[test]
fn written_file_is_its_owners_alone_and_never_over_another() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("k.json");
    write(&path, &file()).unwrap();
    assert_eq!(open(&read(&path).unwrap()).unwrap().public_key(), SecretKey::from_seed(SEED).public_key());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = std::fs::read(&path).unwrap();
    let error = write(&path, b"other").unwrap_err().to_string();
    assert_eq!(error, format!("{}: expected no such file, got one", path.display()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1, "nothing is left over");

    std::fs::write(&path, " ".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
    assert!(read(&path).unwrap_err().to_string().ends_with("at most 16384 bytes, got more"));
    assert!(read(&temporary.path().join("none")).is_err());
    assert!(write(&temporary.path().join("no/such/directory"), b"").is_err());
}
