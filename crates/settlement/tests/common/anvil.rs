//! Anvil, which comes with `npm ci` in `contracts/`. Without it, tests say so and pass, unless `HOLDFAST_ANVIL=1` insists.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A process of it, which ends with this handle.
pub struct Anvil {
    process: Child,
    pub url: String,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Anvil {
    /// On a port that is free, with further arguments. `None` if it is not there.
    pub fn start(further: &[&str]) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
        if !path.exists() {
            assert!(env::var_os("HOLDFAST_ANVIL").is_none(), "{} is not there: npm ci", path.display());
            eprintln!("skipped: there is no anvil (npm ci in contracts/)");
            return None;
        }
        let arguments = ["--port", "0", "--hardfork", "osaka", "--enable-tx-gas-limit", "--gas-limit", "60000000"];
        let mut command = Command::new(path);
        command.args(arguments).args(further).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("anvil starts");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let mut lines = output.lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned)).expect("it listens");
        // Nobody reads on: its pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, url: format!("http://{address}") })
    }
}
