//! `hot NAME COUNT`: calls one of [`CASES`] that often and ends; run under callgrind by
//! `cargo x instructions`.

use std::process::ExitCode;

use thalweg_perf::hot::CASES;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = words.as_slice() else {
        return usage();
    };
    let case = CASES.iter().find(|(case, _)| case == name);
    let (Some((_, make)), Ok(count)) = (case, count.parse::<u64>()) else {
        return usage();
    };
    let mut call = make();
    for _ in 0..count {
        call();
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("hot NAME COUNT; the names:");
    for (name, _) in CASES {
        eprintln!("  {name}");
    }
    ExitCode::from(2)
}
