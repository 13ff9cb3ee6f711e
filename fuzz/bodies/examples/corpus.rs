//! Writes the recorded exchanges as inputs for the fuzz targets: `corpus EXCHANGES FOLDER` makes `FOLDER/TARGET/recorded-N`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(exchanges), Some(folder)) = (arguments.next(), arguments.next()) else {
        println!("usage: corpus EXCHANGES FOLDER");
        return;
    };
    let exchanges = std::fs::read_to_string(exchanges).unwrap();
    for target in waypost_fuzz_bodies::TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        let inputs = waypost_fuzz_bodies::recorded::inputs(target.name, &exchanges);
        for (number, input) in inputs.iter().enumerate() {
            std::fs::write(folder.join(format!("recorded-{number}")), input).unwrap();
        }
        println!("{}: {} recorded inputs", target.name, inputs.len());
    }
}
