//! The parameters of the KZG commitments: powers of a number that nobody must know, from a ceremony that somebody held.
//!
//! They are read from files and never made here: whoever makes them can prove anything. That a file's points *are* powers of one number, at both generators, is checked; that the number was
//! forgotten, no check can tell.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use halo2_base::halo2_proofs::{
    SerdeFormat,
    arithmetic::{Field, best_multiexp},
    halo2curves::{
        CurveAffine,
        bn256::{Bn256, Fq2, Fr, G1, G1Affine, G2, G2Affine},
        ff::PrimeField,
        group::{Curve, cofactor::CofactorGroup, prime::PrimeCurveAffine},
        pairing::Engine,
        serde::SerdeObject,
    },
    poly::{
        EvaluationDomain,
        commitment::{Blind, Params, ParamsProver},
        kzg::commitment::ParamsKZG,
    },
};
use openvm_stark_backend::p3_maybe_rayon::prelude::*;
use rand_core::OsRng;
use sha2::{Digest as _, Sha256};

/// Bytes of a point of the first group, as these files have it: its coordinates in Montgomery form.
pub(super) const G1_BYTES: u64 = 64;
/// Bytes of a point of the second group.
pub(super) const G2_BYTES: u64 = 128;
/// Bytes of the exponent that a file begins with.
const DEGREE_BYTES: u64 = 4;
/// Bytes that are read at once: whole points.
const BUFFER_BYTES: usize = 1 << 20;
/// What the names of a ceremony's files begin with, as others name them.
const CEREMONY: &str = "kzg_bn254";

/// A directory with files of parameters.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    directory: &'a Path,
    name: &'a str,
}

impl<'a> Files<'a> {
    /// Those of a ceremony.
    pub fn new(directory: &'a Path) -> Self {
        Self { directory, name: CEREMONY }
    }

    /// Others, by what their names begin with: for tests, whose parameters are of a number that everybody knows, and must not pass for a ceremony's.
    pub fn named(directory: &'a Path, name: &'a str) -> Self {
        Self { directory, name }
    }

    /// The file of parameters for 2^k coefficients.
    pub fn path(&self, k: u32) -> PathBuf {
        self.directory.join(format!("{}_{k}.srs", self.name))
    }
}

/// Parameters for polynomials of 2^k coefficients, checked.
#[derive(Debug, Clone)]
pub struct Setup(ParamsKZG<Bn256>);

/// Why there are no parameters.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{}: expected KZG parameters over BN254 for 2^{k} coefficients, got no file", path.display())]
    Missing { path: PathBuf, k: u32 },
    #[error("{}: cannot read it: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: expected {expected} bytes (2^{k} powers and as many Lagrange points), got {got}", path.display())]
    Length { path: PathBuf, k: u32, expected: u64, got: u64 },
    #[error("{}: expected parameters for 2^{expected} coefficients, got 2^{got}", path.display())]
    Degree { path: PathBuf, expected: u32, got: u32 },
    #[error("{}: expected {expected}, got other points", path.display())]
    Points { path: PathBuf, expected: &'static str },
    #[error("{}: expected parameters of one ceremony, got those of another than in {}", path.display(), other.display())]
    Ceremony { path: PathBuf, other: PathBuf },
}

impl SetupError {
    /// What to do about it.
    pub fn advice(&self) -> String {
        let files = "publicly held ceremonies (the perpetual powers of tau, or Hermez', converted to the format of Halo2's `ParamsKZG`) offer them, usually by this name";
        match self {
            Self::Missing { .. } => {
                format!("put a file of this name there: {files}; holdfast never makes parameters itself")
            }
            Self::Read { .. } => "see to it that the file can be read".into(),
            _ => format!("fetch the file again, and compare its hash with the one that is published: {files}"),
        }
    }
}

impl Setup {
    /// Bytes of a file: the exponent, two bases of 2^k points, and two points of the second group.
    pub fn bytes(k: u32) -> u64 {
        DEGREE_BYTES + 2 * (G1_BYTES << k) + 2 * G2_BYTES
    }

    /// Looks whether there is a file of the right length, and reads none of its points.
    ///
    /// # Errors
    ///
    /// If there is none, or its length or its first bytes are those of other parameters.
    pub fn look(files: &Files<'_>, k: u32) -> Result<(), SetupError> {
        Self::open(files, k).map(|_file| ())
    }

    fn open(files: &Files<'_>, k: u32) -> Result<BufReader<File>, SetupError> {
        let path = files.path(k);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SetupError::Missing { path: path.clone(), k },
            _ => SetupError::Read { path: path.clone(), source },
        };
        let mut file = File::open(&path).map_err(failed)?;
        let (expected, got) = (Self::bytes(k), file.metadata().map_err(failed)?.len());
        if got != expected {
            return Err(SetupError::Length { path, k, expected, got });
        }
        let mut degree = [0; DEGREE_BYTES as usize];
        file.read_exact(&mut degree).map_err(failed)?;
        match u32::from_le_bytes(degree) {
            degree if degree == k => Ok(BufReader::with_capacity(BUFFER_BYTES, file)),
            got => Err(SetupError::Degree { path, expected: k, got }),
        }
    }

    /// Reads parameters, and checks every point: that it is on its curve, and that all are powers of one number.
    ///
    /// # Errors
    ///
    /// If there is no file, or if it is not of such parameters.
    pub fn read(files: &Files<'_>, k: u32) -> Result<Self, SetupError> {
        let (path, mut file) = (files.path(k), Self::open(files, k)?);
        let wrong = |expected| SetupError::Points { path: path.clone(), expected };
        let failed = |source| SetupError::Read { path: path.clone(), source };
        let mut bases = [const { Vec::new() }; 2];
        for base in &mut bases {
            let points = points(&mut file, 1 << k).map_err(failed)?;
            *base = points.ok_or_else(|| wrong("points of the curve"))?;
        }
        let mut second = [G2Affine::default(); 2];
        for point in &mut second {
            let mut bytes = [0; G2_BYTES as usize];
            file.read_exact(&mut bytes).map_err(failed)?;
            *point = G2Affine::from_raw_bytes(&bytes).ok_or_else(|| wrong("coordinates of points"))?;
        }
        let ([powers, lagrange], [generator, secret]) = (bases, second);
        let params = parameters(k, powers, lagrange, generator, secret).map_err(failed)?;
        well_formed(&params).map_err(wrong)?;
        Ok(Self(params))
    }

    /// The ceremony's number times the second group's generator: by this one knows the ceremony.
    pub(super) fn secret(&self) -> G2Affine {
        self.0.s_g2()
    }

    /// A name for the ceremony: SHA-256 of its number times the second group's generator, in the 128 bytes that Ethereum's pairing takes (EIP-197).
    pub fn ceremony(&self) -> [u8; 32] {
        ceremony(&self.secret())
    }

    pub fn params(&self) -> &ParamsKZG<Bn256> {
        &self.0
    }
}

/// As many points of the first group; `None` if one is not on the curve.
fn points(file: &mut impl Read, count: usize) -> io::Result<Option<Vec<G1Affine>>> {
    let mut points = Vec::with_capacity(count);
    let mut buffer = vec![0; BUFFER_BYTES.min(count * G1_BYTES as usize)];
    while points.len() < count {
        file.read_exact(&mut buffer)?;
        let point = |bytes| G1Affine::from_raw_bytes(bytes).filter(|point| bool::from(point.is_on_curve()));
        let read: Option<Vec<G1Affine>> = buffer.par_chunks_exact(G1_BYTES as usize).map(point).collect();
        let Some(read) = read else { return Ok(None) };
        points.extend(read);
    }
    Ok(Some(points))
}

/// Halo2 has its parameters put together by other parameters only: by the smallest that it reads.
fn parameters(
    k: u32,
    powers: Vec<G1Affine>,
    lagrange: Vec<G1Affine>,
    generator: G2Affine,
    secret: G2Affine,
) -> io::Result<ParamsKZG<Bn256>> {
    let (one, other) = (G1Affine::generator().to_raw_bytes(), G2Affine::generator().to_raw_bytes());
    let smallest = [&[0; DEGREE_BYTES as usize][..], &one, &one, &other, &other].concat();
    let smallest = ParamsKZG::<Bn256>::read_custom(&mut smallest.as_slice(), SerdeFormat::RawBytes)?;
    Ok(smallest.from_parts(k, powers, Some(lagrange), generator, secret))
}

/// That a point is a multiple of the second group's generator, and not zero.
pub(super) fn is_multiple(point: &G2Affine) -> bool {
    let of_order = bool::from(point.is_on_curve()) && bool::from(G2::from(*point).is_torsion_free());
    of_order && !bool::from(point.is_identity())
}

pub(super) fn ceremony(secret: &G2Affine) -> [u8; 32] {
    let halves = |coordinate: &Fq2| [coordinate.c1, coordinate.c0];
    let numbers = [halves(&secret.x), halves(&secret.y)];
    let big_endian = numbers.as_flattened().iter().flat_map(|number| number.to_repr().into_iter().rev());
    Sha256::digest(big_endian.collect::<Vec<u8>>()).into()
}

/// That parameters of points of the curve are powers of one number at both generators, and their Lagrange points those of the powers. What they should be, if not.
///
/// For a random polynomial r: e(Σ rᵢ·sⁱ⁺¹·G₁, G₂) = e(Σ rᵢ·sⁱ·G₁, s·G₂), and r is committed to alike by its coefficients and by its values.
fn well_formed(params: &ParamsKZG<Bn256>) -> Result<(), &'static str> {
    let (powers, secret) = (params.get_g(), params.s_g2());
    if powers[0] != G1Affine::generator() || params.g2() != G2Affine::generator() {
        return Err("the generators of BN254 first");
    }
    if !is_multiple(&secret) {
        return Err("a multiple of the second group's generator");
    }
    // The degree of the quotient does not matter here.
    let domain = EvaluationDomain::<Fr>::new(2, params.k());
    let values = domain.lagrange_from_vec(powers.iter().map(|_| Fr::random(OsRng)).collect());
    let by_values = params.commit_lagrange(&values, Blind::default());
    let coefficients = domain.lagrange_to_coeff(values);
    let last = powers.len() - 1;
    let low = best_multiexp(&coefficients[0..last], &powers[..last]);
    let high = best_multiexp(&coefficients[0..last], &powers[1..]);
    if Bn256::pairing(&high.to_affine(), &params.g2()) != Bn256::pairing(&low.to_affine(), &secret) {
        return Err("powers of one number");
    }
    let by_coefficients: G1 = low + powers[last] * coefficients[last];
    if by_values != by_coefficients {
        return Err("Lagrange points of the powers");
    }
    Ok(())
}
