//! Every MAP-E case of the shared table comes out with exactly its ports (RFC 7597).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod shared;

use denwa::port_set::PortSet;

#[test]
fn all_cases_of_the_table() {
    let Some(path) = shared::path("data/mape.tsv") else { return };
    let table = std::fs::read_to_string(path).expect("the table is readable");
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().expect("a header").split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name).expect("a known column");
    let (psid, length, offset) = (column("psid"), column("psid_len"), column("psid_offset"));
    let (count, ranges) = (column("nports"), column("port_ranges"));
    let mut cases = 0;
    for line in lines {
        let field: Vec<&str> = line.split('\t').collect();
        let set = PortSet::mape(
            field[offset].parse().unwrap(),
            field[length].parse().unwrap(),
            field[psid].parse().unwrap(),
        )
        .expect("legal parameters");
        assert_eq!(set.len(), field[count].parse::<usize>().unwrap(), "{line}");
        assert_eq!(set, field[ranges].parse().unwrap(), "{line}");
        cases += 1;
    }
    assert_eq!(cases, 211);
}
