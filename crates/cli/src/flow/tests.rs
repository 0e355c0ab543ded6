mod venue;

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

use holdfast_protocol::{
    AccountId, Amend, Batch, BatchHeader, Cancel, Command, Instruction, Mark, MarketId, OrderId, Outcome, Place, Price,
    Reject, SelfTrade, Side, Size, Time, TimeInForce, TimeMs, wire::encode_instruction,
};

use self::venue::Venue;
use super::*;

fn price(raw: u32) -> Price {
    Price::new(raw).unwrap()
}

fn size(raw: u64) -> Size {
    Size::new(raw).unwrap()
}

fn time(raw: u64) -> TimeMs {
    TimeMs::new(raw).unwrap()
}

fn gtc(key: u64, side: Side, price_raw: u32, size_raw: u64) -> FlowEvent {
    let (price, size, time_in_force) = (price(price_raw), size(size_raw), TimeInForce::GoodTillCancel);
    FlowEvent::Place { key, trader: key, side, price, size, time_in_force }
}

fn ioc(key: u64, trader: u64, side: Side, price_raw: u32, size_raw: u64) -> FlowEvent {
    let (price, size, time_in_force) = (price(price_raw), size(size_raw), TimeInForce::ImmediateOrCancel);
    FlowEvent::Place { key, trader, side, price, size, time_in_force }
}

fn level(side: Side, price_raw: u32, size: u64) -> FlowEvent {
    let low = if side == Side::Sell { 1 } else { 0 };
    FlowEvent::Level { key: u64::from(price_raw) << 1 | low, side, price: price(price_raw), size }
}

/// Reads to the end.
fn read(bytes: &[u8]) -> Result<(Instrument, Price, Vec<FlowEvent>), FlowError> {
    let mut flow = Flow::from_bytes(bytes)?;
    let events = flow.by_ref().collect::<Result<_, _>>()?;
    Ok((flow.instrument(), flow.first_price(), events))
}

fn check_error(bytes: &[u8], expected: &str) {
    match read(bytes) {
        Ok(_) => panic!("expected an error: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

const LOG: &str = r#"1500000000001 order_created {"price": "100.25", "amount": "2.00000000", "datetime": "1500000000", "id": 11, "order_type": 0}
1500000000001 order_book {"bids": [["100.25", "2.00000000"]], "asks": []}
1500000000700 order_created {"price": "100.20", "amount": "0.50000001", "datetime": "1500000000", "id": 12, "order_type": 1}
1500000000701 order_changed {"price": "100.25", "amount": "1.49999999", "datetime": "1500000000", "id": 11, "order_type": 0}
1500000000702 order_deleted {"price": "100.20", "amount": "0.00000000", "datetime": "1500000000", "id": 12, "order_type": 1}
1500000000703 trade {"price": 100.25, "amount": 0.50000001000000001, "id": 5}
1500000000703 trade {"price": 100.29000000000001, "amount": 1, "id": 6}

1500000001800 order_deleted {"price": "100.25", "amount": "1.49999999", "datetime": "1500000000", "id": 11, "order_type": 0}
"#;

const TABLE: &str = "id,timestamp,exchange.timestamp,price,volume,action,direction
11,1500000000001,1500000000000,100.25,200000000,created,bid
12,1500000000700,1500000000000,100.20,50000001,created,ask
11,1500000000701,1500000000000,100.25,149999999,changed,bid
12,1500000000702,1500000000000,100.20,0,deleted,ask
11,1500000001800,1500000000000,100.25,149999999,deleted,bid
";

fn order_events() -> Vec<FlowEvent> {
    vec![
        FlowEvent::Time { time: time(1_500_000_000_001) },
        gtc(11, Side::Buy, 10_025, 200_000_000),
        FlowEvent::Time { time: time(1_500_000_000_700) },
        gtc(12, Side::Sell, 10_020, 50_000_001),
        FlowEvent::Time { time: time(1_500_000_000_701) },
        FlowEvent::Amend { key: 11, price: price(10_025), size: size(149_999_999) },
        FlowEvent::Time { time: time(1_500_000_000_702) },
        FlowEvent::Filled { key: 12 },
        FlowEvent::Time { time: time(1_500_000_001_800) },
        FlowEvent::Cancel { key: 11 },
    ]
}

#[test]
fn bitstamp_table_is_read_exactly() {
    let (instrument, first_price, events) = read(TABLE.as_bytes()).unwrap();
    assert_eq!(instrument, Instrument { symbol: "BTC-USD".into(), tick_decimals: 2, lot_decimals: 8 });
    assert_eq!(first_price, price(10_025));
    assert_eq!(events, order_events());
}

#[test]
fn bitstamp_log_is_read_exactly() {
    let mut flow = Flow::from_bytes(LOG.as_bytes()).unwrap();
    assert_eq!((flow.format(), flow.compression()), (Format::BitstampLog, Compression::None));
    assert_eq!(flow.first_price(), price(10_025));
    let events: Vec<FlowEvent> = flow.by_ref().map(Result::unwrap).collect();
    let mut expected = order_events();
    let trades = [
        FlowEvent::Time { time: time(1_500_000_000_703) },
        FlowEvent::Mark { price: price(10_025) },
        FlowEvent::Mark { price: price(10_029) },
    ];
    expected.splice(8..8, trades);
    assert_eq!(events, expected);
    assert_eq!((flow.unused(), flow.position()), (1, Position::Line(9)));
}

#[test]
fn malformed_bitstamp_lines_name_line_expected_and_got() {
    let log = |old: &str, new: &str, expected: &str| {
        assert!(LOG.contains(old));
        check_error(LOG.replacen(old, new, 1).as_bytes(), expected);
    };
    log(r#""100.20""#, r#""100.205""#, r#"line 3, price: expected a multiple of 0.01, got "100.205""#);
    log("0.50000001\"", "0.500000015\"", r#"line 3, size: expected a multiple of 0.00000001, got "0.500000015""#);
    log(r#""100.20""#, r#""0.00""#, r#"line 3, price: expected 0.01 to 42949672.95, got "0.00""#);
    log(r#""100.20""#, r#""42949672.96""#, r#"line 3, price: expected 0.01 to 42949672.95, got "42949672.96""#);
    log(r#""100.20""#, r#""-1""#, r#"line 3, price: expected a decimal number, got "-1""#);
    log(r#""100.20""#, r#""1e2""#, r#"line 3, price: expected a decimal number, got "1e2""#);
    log(r#""100.20""#, "[]", r#"line 3, number: expected a number, plain or as a string, got "[]""#);
    log(
        "\"0.50000001",
        "\"10995.11627776",
        r#"line 3, size: expected 0.00000000 to 10995.11627775, got "10995.11627776""#,
    );
    log("\"0.50000001", "\"0", r#"line 3, size of a new order: expected above 0, got "0""#);
    log(
        "order_changed",
        "order_moved",
        r#"line 4, kind: expected order_created, order_changed, order_deleted, order_book or trade, got "order_moved""#,
    );
    log("\"order_type\": 1}", "\"order_type\": 2}", r#"line 3, order_type: expected 0 (buy) or 1 (sell), got "2""#);
    log("1500000000702", "4398046511104", r#"line 5, time: expected milliseconds since 1970, got "4398046511104""#);
    log(
        "1500000000702 order_deleted",
        "1500000000702",
        r#"line 5, kind: expected order_created, order_changed, order_deleted, order_book or trade, got "{\"price\":""#,
    );

    let table = |old: &str, new: &str, expected: &str| {
        assert!(TABLE.contains(old));
        check_error(TABLE.replacen(old, new, 1).as_bytes(), expected);
    };
    table(",50000001,", ",5e7,", r#"line 3, size: expected a decimal number, got "5e7""#);
    table("ask", "offer", r#"line 3, direction: expected bid or ask, got "offer""#);
    table("changed", "moved", r#"line 4, action: expected created, changed or deleted, got "moved""#);
    table(",deleted,ask", "", r#"line 5, line: expected 7 columns, got "12,1500000000702,1500000000000,100.20,0""#);
    table("\n11,", "\n-11,", r#"line 2, id: expected a whole number below 2^64, got "-11""#);
}

#[test]
fn truncated_log_line_is_rejected() {
    let cut = LOG.len() - 30;
    let error = read(&LOG.as_bytes()[..cut]).unwrap_err().to_string();
    assert!(error.starts_with("line 9, order: expected its fields as JSON (EOF while parsing"), "{error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

type Compressor = fn(&[u8]) -> Vec<u8>;

const COMPRESSORS: [(Compressor, Compression); 3] =
    [(gzip, Compression::Gzip), (xz, Compression::Xz), (zstd, Compression::Zstd)];

#[test]
fn compressed_files_read_like_plain_ones() {
    let plain = read(LOG.as_bytes()).unwrap();
    for (compress, compression) in COMPRESSORS {
        let packed = compress(LOG.as_bytes());
        assert_eq!(Flow::from_bytes(packed.clone()).unwrap().compression(), compression);
        assert_eq!(read(&packed).unwrap(), plain, "{compression:?}");
    }
}

#[test]
fn files_in_several_parts_read_like_one() {
    let (start, end) = LOG.as_bytes().split_at(500);
    let plain = read(LOG.as_bytes()).unwrap();
    for (compress, compression) in COMPRESSORS {
        let mut packed = compress(start);
        if compression == Compression::Zstd {
            // A frame that carries no data of ours.
            packed.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        }
        packed.extend(compress(end));
        assert_eq!(read(&packed).unwrap(), plain, "{compression:?}");
    }
}

#[test]
fn every_truncation_of_a_compressed_file_is_rejected() {
    for (compress, compression) in COMPRESSORS {
        let packed = compress(LOG.as_bytes());
        for length in 0..packed.len() {
            assert!(read(&packed[..length]).is_err(), "{compression:?}, {length} of {} bytes", packed.len());
        }
    }
}

#[test]
fn truncated_compressed_file_names_the_last_good_line() {
    let many = LOG.repeat(2_000);
    for (compress, compression) in COMPRESSORS {
        let packed = compress(many.as_bytes());
        let error = read(&packed[..packed.len() - 12]).unwrap_err();
        let FlowError::Read { after: Position::Line(after), .. } = error else { panic!("{compression:?}: {error}") };
        assert!(after > 1_000, "{compression:?}: {error}");
    }
}

#[test]
fn files_of_no_known_format_are_rejected() {
    check_error(b"", "expected order flow, got an empty file");
    check_error(&gzip(b""), "expected order flow, got an empty file");
    let expected = "unknown format: expected a Bitstamp order log or orders table, a Binance depth capture or a Databento \
                    file (plain or compressed with gzip, xz or zstd), got ";
    for (bytes, got) in [("hello", "\"hello\""), ("12 13 14", "\"12 13 14\""), ("\n", r#""\n""#), ("1500 {", "")] {
        if got.is_empty() {
            assert!(read(bytes.as_bytes()).is_err());
        } else {
            check_error(bytes.as_bytes(), &format!("{expected}{got}"));
        }
    }
    check_error(TABLE.lines().next().unwrap().as_bytes(), "line 1: expected an order or a trade up to here, got none");
    let missing = Flow::open(Path::new("no/such/file")).err().unwrap().to_string();
    assert!(missing.starts_with("no/such/file: "), "{missing}");
}

#[test]
fn overlong_line_is_rejected() {
    let bytes = format!("{LOG}1500000002000 order_book {{{}", " ".repeat(LINE_BYTES_MAX));
    check_error(bytes.as_bytes(), r#"line 10, line: expected at most 4194304 bytes, got "more""#);
}

/// A capture: a stale difference, one that covers the snapshot's id, the snapshot, and what follows.
const CAPTURE: &str = r#"1600000000000000000 {"stream":"x@trade","data":{"e":"trade","E":1,"T":1,"s":"ABCUSDT","t":70,"p":"10.10","q":"1.000","X":"MARKET","m":false}}
1600000000100000000 {"stream":"x@depth@0ms","data":{"e":"depthUpdate","E":1,"T":1,"s":"ABCUSDT","U":1,"u":10,"pu":0,"b":[["9.00","9.000"]],"a":[]}}
1600000000200000000 {"stream":"x@depth@0ms","data":{"e":"depthUpdate","E":1,"T":1,"s":"ABCUSDT","U":11,"u":20,"pu":10,"b":[["10.00","5.000"]],"a":[["10.10","0.000"],["10.20","3.000"]]}}
1600000000300000000 {"lastUpdateId":15,"E":1,"T":1,"bids":[["10.00","4.000"],["9.90","1.500"]],"asks":[["10.10","2.000"]]}
1600000000300900000 {"stream":"x@bookTicker","data":{"e":"bookTicker","u":16,"s":"ABCUSDT","b":"10.00","B":"5.000","a":"10.20","A":"3.000","T":1,"E":1}}
1600000001400000000 {"stream":"x@trade","data":{"e":"trade","E":1,"T":1,"s":"ABCUSDT","t":71,"p":"10.20","q":"0.250","X":"MARKET","m":false}}
1600000001400100000 {"stream":"x@trade","data":{"e":"trade","E":1,"T":1,"s":"ABCUSDT","t":72,"p":"10.00","q":"0.125","X":"MARKET","m":true}}
1600000001400200000 {"stream":"x@trade","data":{"e":"trade","E":1,"T":1,"s":"ABCUSDT","t":73,"p":"0","q":"0","X":"NA","m":true}}
1600000001500000000 {"stream":"x@depth@0ms","data":{"e":"depthUpdate","E":1,"T":1,"s":"ABCUSDT","U":21,"u":30,"pu":20,"b":[["10.10","1.000"],["9.90","0.000"]],"a":[["10.20","2.750"]]}}
"#;

#[test]
fn binance_capture_is_read_exactly() {
    let mut flow = Flow::from_bytes(CAPTURE.as_bytes()).unwrap();
    assert_eq!(flow.format(), Format::BinanceCapture);
    assert_eq!(flow.instrument(), Instrument { symbol: "ABCUSDT".into(), tick_decimals: 2, lot_decimals: 3 });
    assert_eq!(flow.first_price(), price(1_010));
    let events: Vec<FlowEvent> = flow.by_ref().map(Result::unwrap).collect();
    let expected = [
        FlowEvent::Time { time: time(1_600_000_000_000) },
        FlowEvent::Mark { price: price(1_010) },
        FlowEvent::Time { time: time(1_600_000_000_100) },
        FlowEvent::Time { time: time(1_600_000_000_200) },
        FlowEvent::Time { time: time(1_600_000_000_300) },
        level(Side::Buy, 1_000, 4_000),
        level(Side::Buy, 990, 1_500),
        level(Side::Sell, 1_010, 2_000),
        // The difference that covers the snapshot's id; what vanishes first.
        level(Side::Sell, 1_010, 0),
        level(Side::Buy, 1_000, 5_000),
        level(Side::Sell, 1_020, 3_000),
        FlowEvent::Time { time: time(1_600_000_001_400) },
        FlowEvent::Mark { price: price(1_020) },
        ioc(71, 71, Side::Buy, 1_020, 250),
        FlowEvent::Mark { price: price(1_000) },
        ioc(72, 72, Side::Sell, 1_000, 125),
        FlowEvent::Time { time: time(1_600_000_001_500) },
        level(Side::Buy, 990, 0),
        level(Side::Buy, 1_010, 1_000),
        level(Side::Sell, 1_020, 2_750),
    ];
    assert_eq!(events, expected);
    assert_eq!(flow.unused(), 2, "the book ticker and the transfer that is no match");
}

#[test]
fn malformed_captures_name_line_expected_and_got() {
    let check = |old: &str, new: &str, expected: &str| {
        assert!(CAPTURE.contains(old));
        check_error(CAPTURE.replacen(old, new, 1).as_bytes(), expected);
    };
    check("\"pu\":20", "\"pu\":19", "line 9: gap in the sequence: expected pu = 20, got 19");
    check("\"pu\":10", "\"pu\":9", "line 3: gap in the sequence: expected pu = 10, got 9");
    // Spot: no `pu`.
    check("\"U\":21,\"u\":30,\"pu\":20", "\"U\":22,\"u\":30", "line 9: gap in the sequence: expected U = 21, got 22");
    check("\"U\":21", "\"U\":31", r#"line 9, depth update: expected a last id of at least the first, 31, got "30""#);
    check(
        "\"lastUpdateId\":15",
        "\"lastUpdateId\":35",
        r#"line 9, depth update: expected a depth update that covers the snapshot's id 35, got "the end of the file""#,
    );
    let late = "line 2: gap in the sequence: expected an update that covers the snapshot's id 15, got 17 to 20";
    let lines: Vec<&str> = CAPTURE.lines().collect();
    let late_join = format!("{}\n{}\n", lines[3], lines[2].replace("\"U\":11", "\"U\":17"));
    check_error(late_join.as_bytes(), late);
    check(
        "[\"10.20\",\"2.750\"]",
        "[\"10.205\",\"2.750\"]",
        r#"line 9, price: expected a multiple of 0.01, got "10.205""#,
    );
    check(
        "[\"10.20\",\"2.750\"]",
        "[\"10.20\",\"1099511627.776\"]",
        r#"line 9, size: expected 0.000 to 1099511627.775, got "1099511627.776""#,
    );
    check("\"q\":\"0.250\"", "\"q\":\"0\"", r#"line 6, size: expected 0.001 to 1099511627.775, got "0""#);
    check("1600000001500000000", "-1", r#"line 9, time: expected nanoseconds since 1970, got "-1""#);
    let no_snapshot =
        CAPTURE.replace("lastUpdateId\":15", "lastUpdateId\":null,\"data\":{\"e\":\"x\",\"s\":\"ABCUSDT\"},\"y\":1");
    check_error(
        no_snapshot.as_bytes(),
        r#"line 9, snapshot: expected a line with `lastUpdateId`, got "the end of the file""#,
    );
    check_error(
        b"1600000000000000000 {}",
        r#"line 1, line: expected `data` of a stream, or a snapshot with `lastUpdateId`, got "{}""#,
    );
}

#[test]
fn capture_lines_of_another_symbol_and_later_snapshots_are_unused() {
    let other = CAPTURE.lines().last().unwrap().replace("ABCUSDT", "DEFUSDT");
    let snapshot = CAPTURE.lines().nth(3).unwrap();
    let mut flow = Flow::from_bytes(format!("{CAPTURE}{other}\n{snapshot}\n").into_bytes()).unwrap();
    let events: Vec<FlowEvent> = flow.by_ref().map(Result::unwrap).collect();
    assert_eq!(events, read(CAPTURE.as_bytes()).unwrap().2);
    assert_eq!(flow.unused(), 4);
}

fn mbo(instrument_id: u32, action: char, side: char, order_id: u64, price: i64, size: u32) -> dbn::MboMsg {
    let ts_recv = 1_700_000_000_000_000_000 + order_id * 1_000_000;
    dbn::MboMsg {
        hd: dbn::RecordHeader::new::<dbn::MboMsg>(dbn::rtype::MBO, 1, instrument_id, ts_recv),
        order_id,
        price,
        size,
        flags: dbn::FlagSet::empty(),
        channel_id: 0,
        action: action as std::ffi::c_char,
        side: side as std::ffi::c_char,
        ts_recv,
        ts_in_delta: 0,
        sequence: 900 + order_id as u32,
    }
}

fn databento_file(records: &[dbn::MboMsg]) -> Vec<u8> {
    databento_file_of(3, records)
}

fn databento_file_of(version: u8, records: &[dbn::MboMsg]) -> Vec<u8> {
    use dbn::encode::EncodeRecord as _;
    let mapping = dbn::SymbolMapping {
        raw_symbol: "ESH4".into(),
        intervals: vec![dbn::MappingInterval {
            start_date: time_date(2023, 11),
            end_date: time_date(2023, 12),
            symbol: "7".into(),
        }],
    };
    let metadata = dbn::Metadata::builder()
        .version(version)
        .dataset("GLBX.MDP3")
        .schema(Some(dbn::Schema::Mbo))
        .start(1)
        .stype_in(Some(dbn::SType::RawSymbol))
        .stype_out(dbn::SType::InstrumentId)
        .symbols(vec!["ESH4".into()])
        .mappings(vec![mapping])
        .build();
    let mut bytes = Vec::new();
    let mut encoder = dbn::encode::dbn::Encoder::new(&mut bytes, &metadata).unwrap();
    records.iter().for_each(|record| encoder.encode_record(record).unwrap());
    bytes
}

fn time_date(year: i32, month: u8) -> ::time::Date {
    ::time::Date::from_calendar_date(year, month.try_into().unwrap(), 14).unwrap()
}

/// A resting bid of which a trade takes two lots before its owner cancels, an ask that a trade fills, and a clear.
fn databento_records() -> Vec<dbn::MboMsg> {
    vec![
        mbo(7, 'R', 'N', 0, dbn::UNDEF_PRICE, 0),
        mbo(7, 'A', 'B', 1, 4_900_250_000_000, 5),
        mbo(9, 'A', 'B', 1, 1_123_456_789, 5),
        mbo(7, 'A', 'A', 2, 4_900_500_000_000, 3),
        mbo(7, 'T', 'A', 0, 4_900_250_000_000, 2),
        mbo(7, 'F', 'B', 1, 4_900_250_000_000, 2),
        mbo(7, 'C', 'B', 1, 4_900_250_000_000, 2),
        mbo(7, 'M', 'B', 1, 4_900_000_000_000, 4),
        mbo(7, 'C', 'B', 1, 4_900_000_000_000, 4),
        mbo(7, 'T', 'N', 0, 4_900_500_000_000, 1),
        mbo(7, 'F', 'A', 2, 4_900_500_000_000, 3),
        mbo(7, 'C', 'A', 2, 4_900_500_000_000, 3),
        mbo(7, 'A', 'A', 3, 4_901_000_000_000, 1),
        mbo(7, 'N', 'N', 3, 0, 0),
        mbo(7, 'R', 'N', 3, dbn::UNDEF_PRICE, 0),
        mbo(7, 'C', 'A', 8, 4_901_000_000_000, 1),
    ]
}

#[test]
fn databento_file_is_read_exactly() {
    let file = databento_file(&databento_records());
    let mut flow = Flow::from_bytes(zstd(&file)).unwrap();
    assert_eq!((flow.format(), flow.compression()), (Format::DatabentoMbo, Compression::Zstd));
    assert_eq!(flow.instrument(), Instrument { symbol: "ESH4".into(), tick_decimals: 2, lot_decimals: 0 });
    assert_eq!(flow.first_price(), price(490_025));
    let events: Vec<FlowEvent> = flow.by_ref().map(Result::unwrap).collect();
    let events: Vec<FlowEvent> = events.into_iter().filter(|event| !matches!(event, FlowEvent::Time { .. })).collect();
    let expected = [
        gtc(1, Side::Buy, 490_025, 5),
        gtc(2, Side::Sell, 490_050, 3),
        FlowEvent::Mark { price: price(490_025) },
        ioc(0, 900, Side::Sell, 490_025, 2),
        FlowEvent::Amend { key: 1, price: price(490_025), size: size(3) },
        FlowEvent::Amend { key: 1, price: price(490_000), size: size(4) },
        FlowEvent::Cancel { key: 1 },
        FlowEvent::Mark { price: price(490_050) },
        FlowEvent::Filled { key: 2 },
        gtc(3, Side::Sell, 490_100, 1),
        FlowEvent::Cancel { key: 3 },
        FlowEvent::Cancel { key: 8 },
    ];
    assert_eq!(events, expected);
    assert_eq!(flow.unused(), 2, "the other instrument's record and the one without effect");
}

#[test]
fn databento_files_of_all_versions_read_alike() {
    let read_version = |version| read(&databento_file_of(version, &databento_records())).unwrap();
    assert_eq!(read_version(1), read_version(3));
    assert_eq!(read_version(2), read_version(3));
}

#[test]
fn malformed_databento_files_name_record_expected_and_got() {
    let check = |index: usize, record: dbn::MboMsg, expected: &str| {
        let mut records = databento_records();
        records[index] = record;
        check_error(&databento_file(&records), expected);
    };
    check(1, mbo(7, 'A', 'B', 1, -250_000_000, 5), r#"record 2, price: expected a decimal number, got "-250000000""#);
    check(
        1,
        mbo(7, 'A', 'B', 1, 42_949_672_960_000_000, 5),
        r#"record 2, price: expected 0.01 to 42949672.95, got "42949672.960000000""#,
    );
    check(1, mbo(7, 'A', 'B', 1, 4_900_250_000_000, 0), r#"record 2, size: expected 1 to 4294967295, got "0""#);
    check(1, mbo(7, 'A', 'N', 1, 4_900_250_000_000, 5), r#"record 2, side: expected B (bid) or A (ask), got "N""#);
    check(1, mbo(7, 'Q', 'B', 1, 4_900_250_000_000, 5), r#"record 2, action: expected A, C, M, T, F, R or N, got "Q""#);
    check(
        6,
        mbo(7, 'C', 'B', 1, 4_900_250_000_000, 6),
        r#"record 7, size of a cancel: expected at most the order's 5, got "6""#,
    );
    check_error(&databento_file(&[]), r#"record 0, file: expected market-by-order records, got "none""#);
    check_error(b"DBN\x07\0\0\0\0", r#"record 0, version: expected 1 to 3, got "7""#);
    check_error(b"DBN", r#"record 0, metadata: expected its length, got "the end of the file""#);
    check_error(b"DBN\x01\xff\xff\xff\xff", r#"record 0, metadata: expected 100 to 67108864 bytes, got "4294967295""#);
}

#[test]
fn every_truncation_of_a_databento_file_is_rejected() {
    let records = databento_records();
    let record_bytes = size_of::<dbn::MboMsg>();
    for file in [databento_file(&records), zstd(&databento_file(&records))] {
        let compressed = !file.starts_with(b"DBN");
        for length in 0..file.len() {
            // Without its last whole records a plain file is a shorter file.
            let whole = !compressed && (file.len() - length).is_multiple_of(record_bytes);
            assert!(whole || read(&file[..length]).is_err(), "{length} of {} bytes", file.len());
        }
    }
}

/// A splitmix64 generator: the seed is the test's, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = b"0123456789.-\"{}[],: \n"[random.below(21)],
            3 => bytes.truncate(at),
            4 => drop(bytes.remove(at)),
            5 => bytes.insert(at, random.next() as u8),
            _ => {
                let end = (at + random.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}

#[test]
fn mutated_files_are_read_or_rejected_without_panic() {
    let plain = [LOG.into(), TABLE.into(), CAPTURE.into(), databento_file(&databento_records())].map(Vec::from);
    let packed = COMPRESSORS.map(|(compress, _)| compress(CAPTURE.as_bytes()));
    let packed_databento = zstd(&plain[3]);
    let seed = 1;
    let mut random = Random(seed);
    let (mut accepted, mut rejected) = (0, 0);
    for original in plain.iter().chain(&packed).chain([&packed_databento]) {
        for _ in 0..4_000 {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            match Flow::from_bytes(bytes) {
                Ok(flow) => {
                    // What can be read must also be fit for a venue.
                    let (_, error) = replay(flow, 4);
                    if error.is_some() { rejected += 1 } else { accepted += 1 }
                }
                Err(_) => rejected += 1,
            }
        }
    }
    assert!(accepted > 1_000 && rejected > 1_000, "seed {seed}: {accepted} accepted, {rejected} rejected");
}

/// What became of a file on the naive venue.
struct Replay {
    mapper: Mapper,
    venue: Venue,
    commands: Vec<Command>,
    outcomes: Vec<Outcome>,
}

fn replay(flow: Flow, accounts: u32) -> (Replay, Option<FlowError>) {
    let wallets = wallets(accounts);
    let genesis = default_genesis(&flow.instrument(), flow.first_price(), &wallets);
    genesis.validate().unwrap();
    let mapper = Mapper::new(&genesis, market(), accounts).unwrap();
    let mut replay = Replay { mapper, venue: Venue::default(), commands: vec![], outcomes: vec![] };
    let mut issued = Vec::new();
    replay.mapper.start(&wallets, &mut issued);
    replay.execute(&mut issued);
    for event in flow {
        match event {
            Ok(event) => replay.mapper.map(&event, &mut issued),
            Err(error) => return (replay, Some(error)),
        }
        replay.execute(&mut issued);
    }
    (replay, None)
}

impl Replay {
    fn execute(&mut self, issued: &mut Vec<Command>) {
        for command in issued.drain(..) {
            let (outcome, events) = self.venue.execute(&command);
            self.mapper.observe(&command, outcome, &events);
            self.commands.push(command);
            self.outcomes.push(outcome);
        }
    }

    fn rejected(&self, reject: Reject) -> usize {
        self.outcomes.iter().filter(|outcome| **outcome == Outcome::Rejected(reject)).count()
    }

    /// Mean bytes on the wire of each kind of command.
    fn bytes_by_kind(&self) -> BTreeMap<u32, (usize, f64)> {
        let mut bytes: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for command in &self.commands {
            let mut encoded = Vec::new();
            encode_instruction(&Instruction { key: Wallets::KEY, command: *command }, &mut encoded);
            let (count, total) = bytes.entry(command.kind()).or_default();
            (*count, *total) = (*count + 1, *total + encoded.len());
        }
        bytes.into_iter().map(|(kind, (count, total))| (kind, (count, total as f64 / count as f64))).collect()
    }

    fn batch(&self) -> Batch {
        let instruct = |&command| Instruction { key: Wallets::KEY, command };
        let instructions = self.commands.iter().map(instruct).collect();
        Batch { header: BatchHeader { number: 1 }, instructions, outcomes: self.outcomes.clone(), seals: vec![] }
    }
}

/// Made once per number of traders: it takes a curve point each.
fn wallets(traders: u32) -> std::sync::Arc<Wallets> {
    static MADE: std::sync::Mutex<BTreeMap<u32, std::sync::Arc<Wallets>>> = std::sync::Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    made.entry(traders).or_insert_with(|| Wallets::new(KEY_SEED_DEFAULT, traders).into()).clone()
}

fn market() -> MarketId {
    MarketId::new(0).unwrap()
}

fn account(raw: u32) -> AccountId {
    AccountId::new(raw).unwrap()
}

/// A mapper of one market at 100 ticks, past its deposits.
fn started(accounts: u32) -> Mapper {
    let instrument = Instrument { symbol: "T".into(), tick_decimals: 0, lot_decimals: 0 };
    let wallets = wallets(accounts);
    let genesis = default_genesis(&instrument, price(100), &wallets);
    let mut mapper = Mapper::new(&genesis, market(), accounts).unwrap();
    let mut issued = Vec::new();
    mapper.start(&wallets, &mut issued);
    assert_eq!(issued.len(), 3 * accounts as usize);
    issued.iter().for_each(|command| mapper.observe(command, Outcome::Accepted, &[]));
    mapper
}

/// Maps an event to at most one command, and reports it as accepted with these events.
fn step(mapper: &mut Mapper, event: FlowEvent, happened: &[OrderEvent]) -> Option<Command> {
    let mut issued = Vec::new();
    mapper.map(&event, &mut issued);
    assert!(issued.len() <= 1, "{issued:?}");
    let command = issued.pop()?;
    mapper.observe(&command, Outcome::Accepted, happened);
    Some(command)
}

fn id(slot: u32, generation: u8) -> OrderId {
    OrderId::new(slot, generation).unwrap()
}

fn rested(order: OrderId, size_raw: u64) -> OrderEvent {
    OrderEvent::Rested { order, size: size(size_raw) }
}

fn filled(maker: OrderId, price_raw: u32, size_raw: u64) -> OrderEvent {
    OrderEvent::Filled { maker, price: price(price_raw), size: size(size_raw) }
}

#[test]
fn place_amend_and_cancel_follow_the_order_id() {
    let mut mapper = started(1);
    let placed = step(&mut mapper, gtc(5, Side::Buy, 99, 10), &[rested(id(512, 1), 10)]);
    let place = Place {
        account: FIRST_TRADER,
        market: market(),
        side: Side::Buy,
        time_in_force: TimeInForce::GoodTillCancel,
        reduce_only: false,
        self_trade: SelfTrade::ExpireTaker,
        price: price(99),
        size: size(10),
    };
    assert_eq!(placed, Some(Command::Place(place)));

    let amend = |order, price_raw, size_raw| {
        let (price, size, self_trade) = (price(price_raw), size(size_raw), SelfTrade::ExpireTaker);
        Some(Command::Amend(Amend { account: FIRST_TRADER, order, self_trade, price, size }))
    };
    // Shrinks in its place, then moves under a new id.
    let smaller = FlowEvent::Amend { key: 5, price: price(99), size: size(7) };
    assert_eq!(step(&mut mapper, smaller, &[]), amend(id(512, 1), 99, 7));
    assert_eq!(step(&mut mapper, smaller, &[]), None);
    let moved = FlowEvent::Amend { key: 5, price: price(98), size: size(7) };
    let replaced = [OrderEvent::Removed { order: id(512, 1) }, rested(id(512, 2), 7)];
    assert_eq!(step(&mut mapper, moved, &replaced), amend(id(512, 1), 98, 7));
    assert_eq!(step(&mut mapper, moved, &[]), None);

    let cancel = Command::Cancel(Cancel { account: FIRST_TRADER, order: id(512, 2) });
    let removed = [OrderEvent::Removed { order: id(512, 2) }];
    assert_eq!(step(&mut mapper, FlowEvent::Cancel { key: 5 }, &removed), Some(cancel));
    assert_eq!(step(&mut mapper, FlowEvent::Cancel { key: 5 }, &[]), None);
    let Counts { places: 1, amends: 2, cancels: 1, already_so: 2, unknown_key: 1, .. } = mapper.counts() else {
        panic!("{:?}", mapper.counts())
    };
}

#[test]
fn amend_after_our_own_fill_is_left_out() {
    let mut mapper = started(2);
    step(&mut mapper, gtc(5, Side::Buy, 99, 10), &[rested(id(512, 1), 10)]);
    step(&mut mapper, gtc(6, Side::Sell, 99, 4), &[filled(id(512, 1), 99, 4)]);
    assert_eq!(step(&mut mapper, FlowEvent::Amend { key: 5, price: price(99), size: size(6) }, &[]), None);
    assert_eq!(step(&mut mapper, FlowEvent::Filled { key: 6 }, &[]), None);
    assert_eq!(mapper.counts().already_so, 2);
}

#[test]
fn cancel_and_amend_of_an_order_we_filled_are_still_sent() {
    let mut mapper = started(1);
    step(&mut mapper, gtc(5, Side::Buy, 99, 10), &[rested(id(512, 1), 10)]);
    step(&mut mapper, gtc(6, Side::Sell, 99, 10), &[filled(id(512, 1), 99, 10)]);
    let sent = step(&mut mapper, FlowEvent::Amend { key: 5, price: price(99), size: size(6) }, &[]);
    assert!(matches!(sent, Some(Command::Amend(Amend { order, .. })) if order == id(512, 1)));
    let sent = step(&mut mapper, FlowEvent::Cancel { key: 5 }, &[]);
    assert!(matches!(sent, Some(Command::Cancel(Cancel { order, .. })) if order == id(512, 1)));
}

#[test]
fn order_filled_at_the_source_but_not_here_is_cancelled() {
    let mut mapper = started(1);
    step(&mut mapper, gtc(5, Side::Buy, 99, 10), &[rested(id(512, 1), 10)]);
    let sent = step(&mut mapper, FlowEvent::Filled { key: 5 }, &[OrderEvent::Removed { order: id(512, 1) }]);
    assert!(matches!(sent, Some(Command::Cancel(_))));
    assert_eq!(mapper.counts().cancels_of_filled, 1);
}

#[test]
fn orders_that_never_rested_or_were_never_placed_are_counted() {
    let mut mapper = started(1);
    step(&mut mapper, gtc(5, Side::Buy, 99, 10), &[]);
    assert_eq!(step(&mut mapper, FlowEvent::Amend { key: 5, price: price(99), size: size(6) }, &[]), None);
    assert_eq!(step(&mut mapper, FlowEvent::Cancel { key: 5 }, &[]), None);
    assert_eq!(step(&mut mapper, FlowEvent::Amend { key: 8, price: price(99), size: size(6) }, &[]), None);
    assert_eq!(step(&mut mapper, FlowEvent::Filled { key: 8 }, &[]), None);
    // Ended before it was placed: it must not stay in the book for ever.
    assert_eq!(step(&mut mapper, gtc(8, Side::Buy, 99, 10), &[]), None);
    let Counts { never_rested: 2, unknown_key: 2, unplaceable: 1, .. } = mapper.counts() else {
        panic!("{:?}", mapper.counts())
    };
}

#[test]
fn level_is_placed_amended_and_cancelled_to_show_its_size() {
    let mut mapper = started(2);
    let placed = step(&mut mapper, level(Side::Sell, 101, 10), &[rested(id(512, 1), 10)]);
    let Some(Command::Place(Place { time_in_force: TimeInForce::PostOnly, account: maker, .. })) = placed else {
        panic!("{placed:?}")
    };
    assert_eq!(maker, FIRST_TRADER);
    // A taker of the other half fills part of it: the file's report of the rest needs nothing.
    let taker = step(&mut mapper, ioc(1, 1, Side::Buy, 101, 3), &[filled(id(512, 1), 101, 3)]);
    assert!(matches!(taker, Some(Command::Place(Place { account, .. })) if account != maker));
    assert_eq!(step(&mut mapper, level(Side::Sell, 101, 7), &[]), None);
    let grown = [OrderEvent::Removed { order: id(512, 1) }, rested(id(512, 2), 9)];
    let amended = step(&mut mapper, level(Side::Sell, 101, 9), &grown);
    assert!(matches!(amended, Some(Command::Amend(Amend { order, .. })) if order == id(512, 1)));
    let cancelled = step(&mut mapper, level(Side::Sell, 101, 0), &[OrderEvent::Removed { order: id(512, 2) }]);
    assert_eq!(cancelled, Some(Command::Cancel(Cancel { account: maker, order: id(512, 2) })));
    assert_eq!(step(&mut mapper, level(Side::Sell, 101, 0), &[]), None);
    // Filled whole and shown again: a new order.
    step(&mut mapper, level(Side::Sell, 101, 5), &[rested(id(513, 1), 5)]);
    step(&mut mapper, ioc(2, 2, Side::Buy, 101, 5), &[filled(id(513, 1), 101, 5)]);
    assert!(matches!(step(&mut mapper, level(Side::Sell, 101, 5), &[]), Some(Command::Place(_))));
}

/// Maps an event to any number of commands, all accepted.
fn step_all(mapper: &mut Mapper, event: FlowEvent) -> Vec<Command> {
    let mut issued = Vec::new();
    mapper.map(&event, &mut issued);
    issued.iter().for_each(|command| mapper.observe(command, Outcome::Accepted, &[]));
    issued
}

#[test]
fn time_and_mark_are_sent_once_a_second_in_bounded_steps() {
    let mut mapper = started(1);
    let time_command = |raw| Command::Time(Time { sender: OPERATOR, time: time(raw) });
    let mark = |raw| Command::Mark(Mark { sender: ORACLE, market: market(), price: price(raw) });
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(5_000) }), [time_command(5_000)]);
    assert_eq!(step_all(&mut mapper, FlowEvent::Mark { price: price(125) }), []);
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(5_999) }), []);
    let steps = [time_command(6_000), mark(110), mark(121), mark(125)];
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(6_000) }), steps);
    step_all(&mut mapper, FlowEvent::Mark { price: price(101) });
    let steps = [time_command(7_500), mark(113), mark(102), mark(101)];
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(7_500) }), steps);
    // Time that goes back is not sent.
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(7_000) }), []);
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(9_000) }), [time_command(9_000)]);
}

#[test]
fn mark_that_cannot_reach_the_price_stops() {
    let mut mapper = started(1);
    step_all(&mut mapper, FlowEvent::Mark { price: price(u32::MAX) });
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(1) }).len(), 21);
    step_all(&mut mapper, FlowEvent::Mark { price: price(1) });
    for second in 1..20 {
        step_all(&mut mapper, FlowEvent::Time { time: time(second * 1_000 + 1) });
    }
    // A tenth of 9 is no tick.
    assert_eq!(step_all(&mut mapper, FlowEvent::Time { time: time(90_000) }).len(), 1);
}

#[test]
fn file_without_marks_is_marked_at_our_own_fills() {
    let mut mapper = started(1);
    step(&mut mapper, gtc(5, Side::Buy, 104, 10), &[rested(id(512, 1), 10)]);
    step(&mut mapper, gtc(6, Side::Sell, 99, 10), &[filled(id(512, 1), 104, 10)]);
    let issued = step_all(&mut mapper, FlowEvent::Time { time: time(1) });
    assert!(matches!(issued[1..], [Command::Mark(Mark { price: mark, .. })] if mark == price(104)), "{issued:?}");
}

#[test]
fn deposits_together_stay_below_the_cap() {
    let instrument = Instrument { symbol: "T".into(), tick_decimals: 0, lot_decimals: 0 };
    for (first_price, accounts) in [(1, 1), (1, ACCOUNTS_MAX), (u32::MAX, 1), (u32::MAX, ACCOUNTS_MAX)] {
        let wallets = wallets(accounts);
        let genesis = default_genesis(&instrument, price(first_price), &wallets);
        genesis.validate().unwrap();
        let mut mapper = Mapper::new(&genesis, market(), accounts).unwrap();
        let mut issued = Vec::new();
        mapper.start(&wallets, &mut issued);
        let amounts = issued.iter().filter_map(|command| match command {
            Command::Deposit(deposit) => Some(deposit.amount.get()),
            _ => None,
        });
        let (count, total) = amounts.fold((0, 0u128), |(count, total), amount| (count + 1, total + amount));
        assert_eq!(count, accounts);
        assert!(total > 0 && total <= holdfast_protocol::limits::DEPOSITS_MAX, "{first_price}, {accounts}: {total}");
        assert!(matches!(issued[0], Command::Open(open) if open.account == account(3) && open.sender == OPERATOR));
        assert!(matches!(issued[1], Command::Register(register) if register.account == account(3)));
        assert!(matches!(issued[2], Command::Deposit(deposit) if deposit.account == account(3)));
    }
}

#[test]
fn mapper_of_no_accounts_or_an_absent_market_is_refused() {
    let instrument = Instrument { symbol: "T".into(), tick_decimals: 0, lot_decimals: 0 };
    let genesis = default_genesis(&instrument, price(1), &wallets(1));
    let check = |market: u32, accounts: u32, expected: &str| {
        let error = Mapper::new(&genesis, MarketId::new(market).unwrap(), accounts).err().unwrap();
        assert_eq!(error.to_string(), expected);
    };
    check(0, 0, "accounts: expected 1 to 65536, got 0");
    check(0, 65_537, "accounts: expected 1 to 65536, got 65537");
    check(1, 5, "market: expected one of the genesis' 1, got 1");
}

#[test]
#[should_panic(expected = "1 command(s) were not observed")]
fn event_before_the_last_command_was_observed_panics() {
    let mut mapper = started(1);
    let mut issued = Vec::new();
    mapper.map(&gtc(5, Side::Buy, 99, 10), &mut issued);
    mapper.map(&gtc(6, Side::Buy, 99, 10), &mut issued);
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz")
}

/// The files that the project may not bundle lie in the folder that `HOLDFAST_DATA` names.
fn data(name: &str) -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("HOLDFAST_DATA")?).join(name);
    path.exists().then_some(path)
}

/// The levels of a capture after its last line.
fn levels_at_the_end(path: &Path) -> BTreeMap<(u32, bool), u64> {
    let mut levels = BTreeMap::new();
    for event in Flow::open(path).unwrap() {
        if let FlowEvent::Level { side, price, size, .. } = event.unwrap() {
            levels.insert((price.get(), side == Side::Sell), size);
        }
    }
    levels.retain(|_, size| *size > 0);
    levels
}

fn check_capture(path: &Path, places_min: u64) {
    let (replay, error) = replay(Flow::open(path).unwrap(), 64);
    assert!(error.is_none(), "{error:?}");
    let counts = replay.mapper.counts();
    let rejected = replay.outcomes.iter().filter(|outcome| **outcome != Outcome::Accepted).count();
    println!("{}: {} commands, {rejected} rejected, {counts:?}", path.display(), replay.commands.len());
    println!("bytes by kind: {:.2?}", replay.bytes_by_kind());
    assert!(counts.places >= places_min);
    assert_eq!(counts.unknown_key + counts.never_rested + counts.unplaceable, 0);
    assert_eq!(replay.rejected(Reject::UnknownOrder), 0);

    // Takers meet our book a moment apart from the file's, so that a few levels near the best differ.
    let theirs = levels_at_the_end(path);
    let ours = replay.venue.bids.iter().chain(&replay.venue.asks);
    let ours: BTreeMap<(u32, bool), u64> =
        ours.map(|order| ((order.price.get(), order.side == Side::Sell), order.size)).collect();
    let different = theirs.iter().filter(|(level, size)| ours.get(level) != Some(size)).count();
    println!("{} levels, {different} differ", theirs.len());
    assert!(different * 50 < theirs.len(), "{different} of {} levels differ", theirs.len());
    assert!(ours.len() <= theirs.len());

    let commands = replay.commands.len().min(holdfast_protocol::batch::INSTRUCTIONS_MAX);
    let mut batch = replay.batch();
    batch.instructions.truncate(commands);
    batch.outcomes.truncate(commands);
    let bytes = batch.encode();
    println!("batch of {commands} commands: {} bytes, {:.2} each", bytes.len(), bytes.len() as f64 / commands as f64);
    assert_eq!(Batch::decode(&bytes).unwrap(), batch);
}

#[test]
fn bundled_sample_replays_to_the_book_of_its_source() {
    check_capture(&sample(), 2_000);
}

#[test]
fn requests_keep_their_order_and_are_what_their_sessions_sign() {
    let instrument = Instrument { symbol: "T".into(), tick_decimals: 0, lot_decimals: 0 };
    let mut wallets = Wallets::new("a seed", 2);
    let genesis = default_genesis(&instrument, price(100), &wallets);
    let mut mapper = Mapper::new(&genesis, market(), 2).unwrap();
    let mut commands = Vec::new();
    mapper.start(&wallets, &mut commands);
    let cancels =
        [3, 4, 3].map(|id| Command::CancelAll(holdfast_protocol::CancelAll { account: account(id), market: market() }));
    commands.extend(cancels);
    // In bunches, which must not matter: the sequencer knows whether a signature is that of its session's head.
    let mut sequencer = holdfast_exchange::Sequencer::new(holdfast_exchange::Engine::new(&genesis).unwrap());
    for bunch in commands.chunks(4) {
        let requests = wallets.request_all(bunch);
        assert!(requests.iter().map(|request| request.instruction.command).eq(bunch.iter().copied()));
        sequencer.submit_all(&requests, |_, result| assert_eq!(result, Ok(Outcome::Accepted)));
    }
    let (batch, _) = sequencer.close_batch();
    assert_eq!(batch.instructions.len(), commands.len());
    assert_eq!(batch.seals.len(), 3, "those of the operator and the two traders");
    // Another seed, other keys; the same seed, the same.
    assert_ne!(Wallets::new("another", 1).public_key(ORACLE), wallets.public_key(ORACLE));
    assert_eq!(Wallets::new("a seed", 1).public_key(ORACLE), wallets.public_key(ORACLE));
    assert_ne!(wallets.public_key(OPERATOR), wallets.public_key(ORACLE));
    assert_ne!(Wallets::owner(OPERATOR), Wallets::owner(ORACLE));
}

#[test]
fn equal_files_give_equal_commands() {
    let run = || replay(Flow::open(&sample()).unwrap(), 16).0.commands;
    assert!(run() == run());
}

#[test]
fn whole_capture_replays_to_the_book_of_its_source() {
    let Some(path) = data("binance-usdm-btcusdt-2024-08-08.jsonl.gz") else { return };
    check_capture(&path, 100_000);
}

#[test]
fn bitstamp_files_replay_alike() {
    let names = ["bitstamp-btcusd-2015-05-01.log.xz", "bitstamp-btcusd-2015-05-01.orders.csv.xz"];
    let [Some(log), Some(table)] = names.map(data) else { return };
    let places = |path: &Path| {
        let (replay, error) = replay(Flow::open(path).unwrap(), 64);
        assert!(error.is_none(), "{error:?}");
        let (counts, by_kind) = (replay.mapper.counts(), replay.bytes_by_kind());
        println!("{}: {} commands, {counts:?}", path.display(), replay.commands.len());
        println!("bytes by kind: {by_kind:.2?}, unknown orders: {}", replay.rejected(Reject::UnknownOrder));
        println!("{} bids and {} asks rest", replay.venue.bids.len(), replay.venue.asks.len());
        // Of orders from before the window, and of some whose lines are out of order.
        assert_eq!(counts.unknown_key, 213);
        assert_eq!(Batch::decode(&replay.batch().encode()).unwrap(), replay.batch());
        let place = |command| if let Command::Place(place) = command { Some(place) } else { None };
        replay.commands.into_iter().filter_map(place).collect::<Vec<Place>>()
    };
    let (log, table) = (places(&log), places(&table));
    assert_eq!((log.len(), table.len()), (24_889, 24_889));
    for (of_log, of_table) in log.iter().zip(&table) {
        // Whoever made the table rounded some sizes down.
        assert!(of_log.size.get() - of_table.size.get() <= 1);
        assert_eq!(Place { size: of_table.size, ..*of_log }, *of_table);
    }
}
