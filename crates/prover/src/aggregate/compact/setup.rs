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
        bn256::{Bn256, Fr, G1, G1Affine, G2, G2Affine},
        group::{Curve, cofactor::CofactorGroup, prime::PrimeCurveAffine},
        pairing::Engine,
    },
    poly::{
        EvaluationDomain,
        commitment::{Blind, Params, ParamsProver},
        kzg::commitment::ParamsKZG,
    },
};
use openvm_stark_backend::p3_maybe_rayon::prelude::*;
use rand_core::OsRng;

/// Bytes of a point of the first group, as these files have it: its coordinates in Montgomery form.
const G1_BYTES: u64 = 64;
/// Bytes of a point of the second group.
const G2_BYTES: u64 = 128;
/// Bytes of the exponent that a file begins with.
const DEGREE_BYTES: u64 = 4;
/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 20;

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
    /// The file of parameters for 2^k coefficients.
    pub fn path(directory: &Path, k: u32) -> PathBuf {
        directory.join(format!("kzg_bn254_{k}.srs"))
    }

    /// Bytes of a file: the exponent, two bases of 2^k points, and two points of the second group.
    pub fn bytes(k: u32) -> u64 {
        DEGREE_BYTES + 2 * (G1_BYTES << k) + 2 * G2_BYTES
    }

    /// Looks whether there is a file of the right length, and reads none of its points.
    ///
    /// # Errors
    ///
    /// If there is none, or its length or its first bytes are those of other parameters.
    pub fn look(directory: &Path, k: u32) -> Result<(), SetupError> {
        Self::open(directory, k).map(|_file| ())
    }

    fn open(directory: &Path, k: u32) -> Result<BufReader<File>, SetupError> {
        let path = Self::path(directory, k);
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
    pub fn read(directory: &Path, k: u32) -> Result<Self, SetupError> {
        let (path, file) = (Self::path(directory, k), Self::open(directory, k)?);
        let degree = k.to_le_bytes();
        let mut file = degree.as_slice().chain(file);
        let params = ParamsKZG::read_custom(&mut file, SerdeFormat::RawBytes)
            .map_err(|source| SetupError::Read { path: path.clone(), source })?;
        well_formed(&params).map_err(|expected| SetupError::Points { path, expected })?;
        Ok(Self(params))
    }

    /// The ceremony's number times the second group's generator: by this one knows the ceremony.
    pub(super) fn secret(&self) -> G2Affine {
        self.0.s_g2()
    }

    pub fn params(&self) -> &ParamsKZG<Bn256> {
        &self.0
    }
}

/// That parameters are powers of one number at both generators, and their Lagrange points those of the powers. What they should be, if not.
///
/// For a random polynomial r: e(Σ rᵢ·sⁱ⁺¹·G₁, G₂) = e(Σ rᵢ·sⁱ·G₁, s·G₂), and r is committed to alike by its coefficients and by its values.
fn well_formed(params: &ParamsKZG<Bn256>) -> Result<(), &'static str> {
    let (powers, secret) = (params.get_g(), params.s_g2());
    if powers[0] != G1Affine::generator() || params.g2() != G2Affine::generator() {
        return Err("the generators of BN254 first");
    }
    // The reader looks at coordinates one by one only.
    if !powers.par_iter().all(|point| bool::from(point.is_on_curve())) {
        return Err("points of the curve");
    }
    let of_order = bool::from(secret.is_on_curve()) && bool::from(G2::from(secret).is_torsion_free());
    if !of_order || bool::from(secret.is_identity()) {
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
    // A Lagrange point off the curve leads to a sum that is no commitment either.
    let by_coefficients: G1 = low + powers[last] * coefficients[last];
    if by_values != by_coefficients {
        return Err("Lagrange points of the powers");
    }
    Ok(())
}
