//! What was promised, and whether it was kept.

use std::process::ExitCode;

use crate::AnyError;

/// The figures of one bench. Prints each as it comes and remembers those that break a bound.
#[derive(Debug)]
pub struct Bounds {
    bench: &'static str,
    broken: Vec<String>,
}

impl Bounds {
    /// No figures yet.
    pub fn new(bench: &'static str) -> Self {
        println!("# {bench}");
        Self {
            bench,
            broken: Vec::new(),
        }
    }

    /// Prints a figure that nothing is promised about.
    pub fn note(&self, what: &str, value: &str) {
        println!("{what:<44} {value}");
    }

    /// Prints a figure, and takes note if it is above its bound.
    pub fn at_most(&mut self, what: &str, value: f64, bound: f64, unit: &str) {
        let broken = value > bound;
        let verdict = if broken { "  BROKEN" } else { "" };
        println!("{what:<44} {value:.3} {unit} (at most {bound}){verdict}");
        if broken {
            self.broken.push(format!(
                "{what}: {value:.3} {unit}, at most {bound} were promised"
            ));
        }
    }

    /// Success if every bound was kept and nothing else went wrong.
    pub fn verdict(self, outcome: Result<(), AnyError>) -> ExitCode {
        for broken in &self.broken {
            eprintln!("{}: {broken}", self.bench);
        }
        match outcome {
            Ok(()) if self.broken.is_empty() => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{}: {error}", self.bench);
                ExitCode::FAILURE
            }
        }
    }
}
