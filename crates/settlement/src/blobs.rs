//! Words as blobs, and back; and where blobs are asked for.
//!
//! Words are coefficients of a polynomial, the last one the constant; a blob holds the evaluations of 4096 of them at the roots of unity, in bit-reversed order.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use alloy::{
    eips::{
        eip4844::{
            BYTES_PER_BLOB, Blob, Bytes48, FIELD_ELEMENTS_PER_BLOB, env_settings::EnvKzgSettings, kzg_to_versioned_hash,
        },
        eip7594::BlobTransactionSidecarEip7594,
    },
    primitives::{B256, U256},
    providers::{DynProvider, Provider},
    transports::{BoxFuture, http::reqwest},
};
use ark_bls12_381::Fr;
use ark_ff::{BigInt, PrimeField, Zero};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use serde::Deserialize;

use crate::{
    Error, Result, journal,
    publication::{WORD_BYTES, Word},
};

/// Coefficients of a blob.
pub const COEFFICIENTS: usize = FIELD_ELEMENTS_PER_BLOB as usize;
const ELEMENT_BYTES: usize = 32;

/// Why blobs are not words, or not those that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    #[error("element {element} of blob {blob} is not below the field's order")]
    NotCanonical { blob: usize, element: usize },
    #[error("coefficient {coefficient} of the blobs has more than 240 bits: it is no word")]
    NotAWord { coefficient: usize },
    #[error("blob {blob} does not have the versioned hash {expected}, but {got}")]
    Hash { blob: usize, expected: B256, got: B256 },
    #[error("{expected} blobs were asked for, got {got}")]
    Count { expected: usize, got: usize },
    #[error("a blob has {BYTES_PER_BLOB} bytes, got {0}")]
    Length(usize),
    #[error("{0}")]
    Commitment(String),
    #[error("blobs of block {block} are nowhere to be had: {reason}")]
    Gone { block: u64, reason: String },
}

static DOMAIN: LazyLock<Radix2EvaluationDomain<Fr>> =
    LazyLock::new(|| Radix2EvaluationDomain::new(COEFFICIENTS).expect("the field has roots of unity of order 2^32"));

const fn reversed(index: usize) -> usize {
    index.reverse_bits() >> (usize::BITS - COEFFICIENTS.trailing_zeros())
}

fn limbs(bytes: &[u8]) -> BigInt<4> {
    let value = U256::try_from_be_slice(bytes).unwrap_or_default();
    BigInt(value.into_limbs())
}

/// The blobs of some words; the first word must not be zero, or it is lost. There are no blobs of no words.
pub fn blobs_from_words(words: &[Word]) -> Vec<Blob> {
    let coefficients: Vec<Fr> =
        words.iter().rev().map(|word| Fr::from_bigint(limbs(word)).expect("240 bits are below the order")).collect();
    coefficients.chunks(COEFFICIENTS).map(encode).collect()
}

fn encode(coefficients: &[Fr]) -> Blob {
    let evaluations = DOMAIN.fft(coefficients);
    let mut blob = Blob::ZERO;
    for (index, element) in blob.0.chunks_exact_mut(ELEMENT_BYTES).enumerate() {
        let value = U256::from_limbs(evaluations[reversed(index)].into_bigint().0);
        element.copy_from_slice(&value.to_be_bytes::<ELEMENT_BYTES>());
    }
    blob
}

/// The words of some blobs.
pub fn words_from_blobs(blobs: &[Blob]) -> std::result::Result<Vec<Word>, BlobError> {
    let mut coefficients = Vec::with_capacity(blobs.len() * COEFFICIENTS);
    for (number, blob) in blobs.iter().enumerate() {
        let mut evaluations = vec![Fr::zero(); COEFFICIENTS];
        for (element, bytes) in blob.0.chunks_exact(ELEMENT_BYTES).enumerate() {
            evaluations[reversed(element)] =
                Fr::from_bigint(limbs(bytes)).ok_or(BlobError::NotCanonical { blob: number, element })?;
        }
        coefficients.extend(DOMAIN.ifft(&evaluations));
    }
    let count = coefficients.iter().rposition(|coefficient| !coefficient.is_zero()).map_or(0, |last| last + 1);
    let word = |(coefficient, value): (usize, &Fr)| {
        let bytes = U256::from_limbs(value.into_bigint().0).to_be_bytes::<ELEMENT_BYTES>();
        let (high, low) = bytes.split_at(ELEMENT_BYTES - WORD_BYTES);
        match (high, Word::try_from(low)) {
            (&[0, 0], Ok(word)) => Ok(word),
            _ => Err(BlobError::NotAWord { coefficient }),
        }
    };
    coefficients[..count].iter().enumerate().rev().map(word).collect()
}

/// A blob's value at a point, as the contract and the precompile 0x0A take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    pub y: B256,
    pub commitment: Bytes48,
    pub proof: Bytes48,
}

fn commitment_failed(error: impl std::fmt::Display) -> BlobError {
    BlobError::Commitment(format!("commitment of a blob: {error}"))
}

fn ckzg(blob: &Blob) -> c_kzg::Blob {
    c_kzg::Blob::new(blob.0)
}

/// The versioned hash of a blob, from its bytes.
pub fn versioned_hash(blob: &Blob) -> std::result::Result<B256, BlobError> {
    let commitment = EnvKzgSettings::Default.get().blob_to_kzg_commitment(&ckzg(blob)).map_err(commitment_failed)?;
    Ok(kzg_to_versioned_hash(commitment.as_slice()))
}

/// Each blob's value at `z`, with its proof.
pub fn evaluate(blobs: &[Blob], commitments: &[Bytes48], z: U256) -> std::result::Result<Vec<Evaluation>, BlobError> {
    let settings = EnvKzgSettings::Default.get();
    let at = c_kzg::Bytes32::new(z.to_be_bytes());
    let one = |(blob, &commitment): (&Blob, &Bytes48)| {
        let (proof, y) = settings.compute_kzg_proof(&ckzg(blob), &at).map_err(commitment_failed)?;
        Ok(Evaluation { y: B256::from(*y), commitment, proof: Bytes48::from(*proof.to_bytes()) })
    };
    blobs.iter().zip(commitments).map(one).collect()
}

/// The form in which blobs travel with their transaction: commitments, and proofs of their cells.
pub fn sidecar(blobs: Vec<Blob>) -> std::result::Result<BlobTransactionSidecarEip7594, BlobError> {
    BlobTransactionSidecarEip7594::try_from_blobs(blobs).map_err(commitment_failed)
}

/// Refuses blobs that are not those of the hashes.
pub fn check(blobs: &[Blob], hashes: &[B256]) -> std::result::Result<(), BlobError> {
    if blobs.len() != hashes.len() {
        return Err(BlobError::Count { expected: hashes.len(), got: blobs.len() });
    }
    for (number, (blob, &expected)) in blobs.iter().zip(hashes).enumerate() {
        let got = versioned_hash(blob)?;
        if got != expected {
            return Err(BlobError::Hash { blob: number, expected, got });
        }
    }
    Ok(())
}

/// Where a transaction with blobs is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub block: u64,
    /// The block's, in seconds.
    pub timestamp: u64,
    pub transaction: B256,
    /// In the transaction's order.
    pub hashes: Vec<B256>,
}

/// Who keeps blobs. What it gives is checked by who asks (see [`fetch`]).
pub trait Blobs: Send + Sync {
    fn get<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Blob>>>;
}

/// Blobs from their keeper, checked.
pub async fn fetch(keeper: &dyn Blobs, place: &Place) -> Result<Vec<Blob>> {
    let blobs = keeper.get(place).await?;
    check(&blobs, &place.hashes)?;
    Ok(blobs)
}

/// The embedded chain, and anvil: they keep blobs beside their transactions.
#[derive(Debug, Clone)]
pub struct FromTransactions(pub DynProvider);

impl Blobs for FromTransactions {
    fn get<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Blob>>> {
        Box::pin(async move {
            let request = self.0.raw_request("anvil_getBlobsByTransactionHash".into(), (place.transaction,));
            let texts: Option<Vec<String>> = request.await.map_err(Error::endpoint("blobs of a transaction"))?;
            let texts = texts.ok_or_else(|| BlobError::Gone {
                block: place.block,
                reason: format!("the endpoint has none of transaction {}", place.transaction),
            })?;
            Ok(texts.iter().map(|text| parse(text)).collect::<std::result::Result<_, _>>()?)
        })
    }
}

fn parse(text: &str) -> std::result::Result<Blob, BlobError> {
    let bytes = alloy::primitives::hex::decode(text)
        .map_err(|error| BlobError::Commitment(format!("a blob in hexadecimal digits: {error}")))?;
    Blob::try_from(bytes.as_slice()).map_err(|_| BlobError::Length(bytes.len()))
}

/// Blobs in a folder, each under its versioned hash; what is not there is asked for, and kept. Consensus clients forget them after weeks.
pub struct Kept {
    folder: PathBuf,
    from: Arc<dyn Blobs>,
}

impl Kept {
    pub fn new(folder: &Path, from: Arc<dyn Blobs>) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        Ok(Self { folder: folder.to_owned(), from })
    }

    fn path(&self, hash: &B256) -> PathBuf {
        self.folder.join(format!("{hash}.blob"))
    }

    /// A blob that is there, and is the one of its name.
    fn read(&self, hash: &B256) -> Result<Option<Blob>> {
        let Some(bytes) = journal::read(&self.path(hash))? else { return Ok(None) };
        let blob = Blob::try_from(bytes.as_slice()).ok();
        Ok(blob.filter(|blob| versioned_hash(blob).is_ok_and(|got| got == *hash)))
    }
}

impl Blobs for Kept {
    fn get<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Blob>>> {
        Box::pin(async move {
            let found: Option<Vec<Blob>> =
                place.hashes.iter().map(|hash| self.read(hash)).collect::<Result<Option<_>>>()?;
            if let Some(blobs) = found {
                return Ok(blobs);
            }
            let blobs = fetch(self.from.as_ref(), place).await?;
            for (hash, blob) in place.hashes.iter().zip(&blobs) {
                journal::write(&self.path(hash), blob.as_slice())?;
            }
            Ok(blobs)
        })
    }
}

/// How a consensus client numbers slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Slots {
    /// From the genesis on, one every so many seconds.
    Timed { genesis: u64, seconds: u64 },
    /// By the number of the block, as development nodes do.
    Blocks,
}

/// A consensus client's HTTP interface.
#[derive(Debug, Clone)]
pub struct Beacon {
    url: String,
    slots: Slots,
    client: reqwest::Client,
}

#[derive(Debug, Deserialize)]
struct BlobList {
    data: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct SidecarList {
    data: Vec<SidecarItem>,
}

#[derive(Debug, Deserialize)]
struct SidecarItem {
    blob: String,
    kzg_commitment: String,
}

impl Beacon {
    pub fn new(url: &str, slots: Slots) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), slots, client: reqwest::Client::new() }
    }

    /// A consensus client, asked how it numbers its slots; those of development nodes do it `by_block`.
    pub async fn discover(url: &str, by_block: bool) -> Result<Self> {
        let client = Self::new(url, Slots::Blocks);
        if by_block {
            return Ok(client);
        }
        let genesis = client.number("/eth/v1/beacon/genesis", "genesis_time").await?;
        let seconds = client.number("/eth/v1/config/spec", "SECONDS_PER_SLOT").await?;
        Ok(Self { slots: Slots::Timed { genesis, seconds }, ..client })
    }

    /// A number that a client tells of its chain.
    async fn number(&self, path: &str, field: &str) -> Result<u64> {
        let failed = |reason: String| Error::Beacon { url: format!("{}{path}", self.url), reason };
        let text = self.text(path).await.map_err(failed)?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let number = value.pointer(&format!("/data/{field}")).and_then(serde_json::Value::as_str);
        number.and_then(|text| text.parse().ok()).ok_or_else(|| failed(format!("expected a number {field}, got none")))
    }

    fn slot(&self, place: &Place) -> u64 {
        match self.slots {
            Slots::Blocks => place.block,
            Slots::Timed { genesis, seconds } => place.timestamp.saturating_sub(genesis) / seconds.max(1),
        }
    }

    async fn text(&self, path: &str) -> std::result::Result<String, String> {
        let url = format!("{}{path}", self.url);
        let response = self.client.get(&url).send().await.map_err(|error| format!("{url}: {error}"))?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("{url}: status {status}"));
        }
        response.text().await.map_err(|error| format!("{url}: {error}"))
    }
}

/// The blobs of a slot (of all its transactions), in the order of the hashes.
pub fn pick(candidates: &[(B256, Blob)], place: &Place) -> std::result::Result<Vec<Blob>, BlobError> {
    let find = |hash: &B256| {
        let found = candidates.iter().find(|(of, _)| of == hash).map(|(_, blob)| *blob);
        found.ok_or_else(|| BlobError::Gone { block: place.block, reason: format!("none has versioned hash {hash}") })
    };
    place.hashes.iter().map(find).collect()
}

/// What `blobs/{slot}` answers: blobs alone.
pub fn read_blobs(text: &str) -> std::result::Result<Vec<(B256, Blob)>, BlobError> {
    let list: BlobList =
        serde_json::from_str(text).map_err(|error| BlobError::Commitment(format!("list of blobs: {error}")))?;
    let one = |text: &String| {
        let blob = parse(text)?;
        Ok((versioned_hash(&blob)?, blob))
    };
    list.data.iter().map(one).collect()
}

/// What `blob_sidecars/{slot}` answers: blobs with their commitments.
pub fn read_sidecars(text: &str) -> std::result::Result<Vec<(B256, Blob)>, BlobError> {
    let list: SidecarList =
        serde_json::from_str(text).map_err(|error| BlobError::Commitment(format!("list of sidecars: {error}")))?;
    let one = |item: &SidecarItem| {
        let commitment: Bytes48 = item
            .kzg_commitment
            .parse()
            .map_err(|error| BlobError::Commitment(format!("commitment of a sidecar: {error}")))?;
        Ok((kzg_to_versioned_hash(commitment.as_slice()), parse(&item.blob)?))
    };
    list.data.iter().map(one).collect()
}

impl Blobs for Beacon {
    fn get<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Blob>>> {
        Box::pin(async move {
            let slot = self.slot(place);
            let hashes: Vec<String> = place.hashes.iter().map(|hash| format!("versioned_hashes={hash}")).collect();
            let paths = [
                format!("/eth/v1/beacon/blobs/{slot}?{}", hashes.join("&")),
                // Not every client knows how to choose, nor older ones anything but sidecars.
                format!("/eth/v1/beacon/blobs/{slot}"),
                format!("/eth/v1/beacon/blob_sidecars/{slot}"),
            ];
            let mut reasons = Vec::new();
            for path in paths {
                let read = if path.contains("sidecars") { read_sidecars } else { read_blobs };
                let found = match self.text(&path).await {
                    Ok(text) => read(&text).and_then(|candidates| pick(&candidates, place)),
                    Err(reason) => Err(BlobError::Gone { block: place.block, reason }),
                };
                match found {
                    Ok(blobs) => return Ok(blobs),
                    Err(error) => reasons.push(error.to_string()),
                }
            }
            Err(BlobError::Gone { block: place.block, reason: reasons.join("; ") }.into())
        })
    }
}
