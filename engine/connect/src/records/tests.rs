use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn csv() -> Format {
    Format::Csv(CsvFormat::default())
}

fn xml(path: &str) -> Format {
    let element = path.split('/').map(str::to_owned).collect();
    Format::Xml { element }
}

fn json(path: &[&str]) -> Format {
    let path = path.iter().map(|key| (*key).to_owned()).collect();
    Format::Json { path }
}

/// Every item as a line of text. A failure is the last line.
fn items_of(format: &Format, input: Input) -> Vec<String> {
    items_from(format, input, Position::default())
}

fn items_from(format: &Format, input: Input, from: Position) -> Vec<String> {
    let mut records = match read(format, input, from) {
        Ok(records) => records,
        Err(failure) => return vec![format!("! {failure}")],
    };
    let mut items = Vec::new();
    loop {
        match records.next() {
            Ok(Some(item)) => items.push(text_of(&item)),
            Ok(None) => return items,
            Err(failure) => {
                items.push(format!("! {failure}"));
                return items;
            }
        }
    }
}

fn text_of(item: &Item) -> String {
    match item {
        Item::Record(record) => {
            let fields = record.fields.iter().map(|(name, field)| match field {
                Field::Null => format!("{name}=null"),
                Field::Text(text) => format!("{name}='{text}'"),
                Field::Integer(number) => format!("{name}={number}"),
                Field::Number(number) => format!("{name}={number}"),
                Field::Real(number) => format!("{name}={number:?}"),
                Field::Bool(value) => format!("{name}={value}"),
                Field::Bytes(bytes) => format!("{name}={bytes:?}"),
            });
            let fields: Vec<_> = fields.collect();
            format!("{}: {}", record.line, fields.join(" "))
        }
        Item::Reject(reject) => format!("{}! {}", reject.line, reject.reason),
    }
}

fn check(format: &Format, text: &str, expected: &[&str]) {
    assert_eq!(items_of(format, Input::from_text(text)), expected, "{text}");
    // Also if the input arrives in small pieces.
    let pieces = Pieces(io::Cursor::new(text.as_bytes().to_vec()));
    let input = Input::from_stream(pieces, InputLimits::default()).unwrap();
    assert_eq!(items_of(format, input), expected, "in pieces: {text}");
}

/// Returns one byte at a time.
struct Pieces(io::Cursor<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}

/// Generates bytes: a prefix, one byte many times, a suffix.
struct Generated {
    before: io::Cursor<Vec<u8>>,
    byte: u8,
    left: u64,
    suffix: io::Cursor<Vec<u8>>,
}

impl Generated {
    fn new(before: &str, byte: u8, count: u64, suffix: &str) -> Self {
        Self {
            before: io::Cursor::new(before.as_bytes().to_vec()),
            byte,
            left: count,
            suffix: io::Cursor::new(suffix.as_bytes().to_vec()),
        }
    }
}

impl Read for Generated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.before.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        if self.left == 0 {
            return self.suffix.read(buffer);
        }
        let count = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buffer[..count].fill(self.byte);
        self.left -= count as u64;
        Ok(count)
    }
}

fn generated(before: &str, byte: u8, count: u64, suffix: &str) -> Input {
    let stream = Generated::new(before, byte, count, suffix);
    Input::from_stream(stream, InputLimits::default()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unzipped(bytes: Vec<u8>, limits: InputLimits) -> Input {
    Input::from_stream(io::Cursor::new(bytes), limits).unwrap()
}

const TWO_GIB: u64 = 2 << 30;
const LONG: u64 = 8 << 20;

#[test]
fn csv_has_quotes_line_breaks_and_options() {
    let format = csv();
    check(
        &format,
        "id,name\n1,Ann\n2,\"Bob, \"\"the\nbuilder\"\"\"\r\n\n3,",
        &[
            "2: id='1' name='Ann'",
            "3: id='2' name='Bob, \"the\nbuilder\"'",
            "6: id='3' name=''",
        ],
    );
    check(
        &format,
        "\u{feff}id,,id2\r\n1,2,3\r\n",
        &["2: id='1' column_2='2' id2='3'"],
    );
    check(
        &format,
        "",
        &["! it is empty: its first line must name the columns"],
    );
    check(&format, "a,a\n", &["! line 1: column `a` is named twice"]);
    check(&format, "a\n", &[]);
    let options = Format::Csv(CsvFormat {
        delimiter: b';',
        quote: Some(b'\''),
        header: false,
        columns: vec!["x".to_owned(), "y".to_owned()],
    });
    check(
        &options,
        "1;'a;b'\n\"2\";c\n",
        &["1: x='1' y='a;b'", "2: x='\"2\"' y='c'"],
    );
    let bare = Format::Csv(CsvFormat {
        quote: None,
        header: false,
        ..CsvFormat::default()
    });
    check(&bare, "\"a,b\n", &["1: column_1='\"a' column_2='b'"]);
}

#[test]
fn bad_csv_records_are_rejected_alone() {
    let format = csv();
    check(
        &format,
        "a,b\n1\n1,2,3\n4,5\n",
        &[
            "2! 1 fields for 2 columns",
            "3! 3 fields for 2 columns",
            "4: a='4' b='5'",
        ],
    );
    // Which lines behind a quote are records cannot be known: none is made of them.
    check(
        &format,
        "a,b\n0,0\n\"1,2\n3,4\n5,6\n",
        &[
            "2: a='0' b='0'",
            "3! a quoted field is not closed before the end of the file",
        ],
    );
    // A stray quote ends with the line of the next one.
    check(
        &format,
        "a,b\n\"1,2\n3,4\n5,\"six\"\n7,8\n",
        &[
            "2! text follows the closing quote of a field",
            "5: a='7' b='8'",
        ],
    );
    // Carriage returns end no lines.
    check(
        &format,
        "a,b\r1,2\r3,4\r",
        &["! line 1: the header: a carriage return without a line feed does not end a line"],
    );
    check(
        &format,
        "a,b\r\n1,\"x\"\r\n1\r2,3\n4,5\n",
        &[
            "2: a='1' b='x'",
            "3! a carriage return without a line feed does not end a line",
            "4: a='4' b='5'",
        ],
    );
    let bytes = b"a\n\xff\xfe\nok\n".to_vec();
    let input = unzipped(bytes, InputLimits::default());
    assert_eq!(items_of(&format, input), ["2! not UTF-8", "3: a='ok'"]);
    let many = vec!["x"; 1_500].join(",");
    check(
        &format,
        &format!("a\n{many}\n1\n"),
        &["2! more than 1,000 fields", "3: a='1'"],
    );
}

#[test]
fn a_line_of_two_gigabytes_is_skipped() {
    let expected = ["2! longer than 1 MiB", "3: a='2' b='3'"];
    let input = generated("a,b\n1,", b'x', TWO_GIB, "\n2,3\n");
    assert_eq!(items_of(&csv(), input), expected);
    // The lines of a quoted field are no records, however long it is.
    let input = generated("a,b\n\"1", b'\n', LONG, "\",2\n2,3\n");
    let items = items_of(&csv(), input);
    assert_eq!(items[0], "2! longer than 1 MiB");
    assert_eq!(items[1..], [format!("{}: a='2' b='3'", LONG + 3)]);
    let input = generated("a,b\n\"1,", b'x', LONG, "\n2,3\n");
    assert_eq!(items_of(&csv(), input), expected[..1]);
    let input = generated("{\"a\":1}\n{\"a\":\"", b'x', LONG, "\"}\n{\"a\":3}\n");
    assert_eq!(
        items_of(&Format::JsonLines, input),
        ["1: a=1", "2! longer than 1 MiB", "3: a=3"]
    );
    let input = generated("[{\"a\":\"", b'x', LONG, "\"},\n{\"a\":3}]");
    assert_eq!(
        items_of(&json(&[]), input),
        ["1! longer than 1 MiB", "2: a=3"]
    );
    let input = generated("", b' ', 3 << 20, "[{\"a\":3}]");
    assert_eq!(items_of(&json(&[]), input), ["1: a=3"]);
    // XML cannot continue after it.
    let input = generated("<r><a><b>", b'x', LONG, "</b></a></r>");
    let items = items_of(&xml("r/a"), input);
    assert!(
        items.len() == 1 && items[0].contains("longer than 1 MiB"),
        "{items:?}"
    );
}

#[test]
fn a_reject_has_the_beginning_of_the_record() {
    let input = generated("a\n", b'x', 2 << 20, "");
    let mut records = read(&csv(), input, Position::default()).unwrap();
    let Some(Item::Reject(reject)) = records.next().unwrap() else {
        panic!("a reject")
    };
    assert_eq!(reject.head, "x".repeat(200));
}

#[test]
fn json_lines_are_objects() {
    check(
        &Format::JsonLines,
        "{\"a\":1,\"b\":\"x\",\"c\":null,\"d\":1.5,\"e\":true,\"f\":[1,{}]}\n\n[1]\n{\"a\":\r\n{\"a\":18446744073709551615}",
        &[
            "1: a=1 b='x' c=null d=1.5 e=true f='[1,{}]'",
            "3! is not a JSON object",
            "4! is not JSON: EOF while parsing a value at line 1 column 5",
            "5: a=18446744073709551615",
        ],
    );
}

#[test]
fn json_is_an_array_at_a_path() {
    let format = json(&[]);
    check(
        &format,
        " [ {\"a\":\"]},\\\"\"} , 7,\n {\"a\":{\"b\":[2]}} ] rest",
        &[
            "1: a=']},\"'",
            "1! is not a JSON object",
            "2: a='{\"b\":[2]}'",
        ],
    );
    check(&format, "[]", &[]);
    check(
        &format,
        "[{\"a\":1}",
        &["1: a=1", "! line 1: it ends in the middle of the array"],
    );
    check(
        &format,
        "[{\"a\":1} {\"a\":2}]",
        &["1: a=1", "! line 1: a comma is missing between two records"],
    );
    check(
        &format,
        "[{\"a\":1},]",
        &["1: a=1", "! line 1: a record is missing"],
    );
    check(
        &format,
        "[{\"a\":1},\n{\"a\":\"",
        &["1: a=1", "! line 2: it ends in the middle of a value"],
    );
    check(
        &format,
        "{}",
        &["! line 1: it is an object; `path` must name its array of records"],
    );
    check(&format, "7", &["! line 1: there is no array of records"]);
    let format = json(&["data", "items"]);
    check(
        &format,
        "{\"x\":[{\"items\":0}],\"data\":{\"n\":-1.5,\"s\":\"items\",\"items\":[{\"a\":1}]}}",
        &["1: a=1"],
    );
    check(
        &format,
        "{\"data\":{}}",
        &["! line 1: there is no key `items`"],
    );
    check(
        &format,
        "{\"data\":[]}",
        &["! line 1: there is no object with the key `items`"],
    );
    let deep = format!("[{},{{\"a\":1}}]", "[".repeat(10_000) + &"]".repeat(10_000));
    let items = items_of(&json(&[]), Input::from_text(deep));
    assert!(
        items[0] == "1! is not a JSON object" && items[1] == "1: a=1",
        "{items:?}"
    );
}

#[test]
fn xml_is_a_repeated_element() {
    let text = "<?xml version='1.0'?>\n<r>\n<o id='1' x='a &amp; b'>\n <n>Ann &lt;3 &#65;</n><n>no</n>\n <at><city>Rom</city></at><e/></o>\n<other/><o id='2'><![CDATA[<raw>]]><n>B</n></o></r>";
    let expected = [
        "3: id='1' x='a & b' n='Ann <3 A' at/city='Rom' e=''",
        "6: id='2' n='B'",
    ];
    check(&xml("r/o"), text, &expected);
    check(&xml("o"), text, &expected);
    check(&xml("r/missing"), text, &[]);
    check(
        &xml("o"),
        "<r><o><a>1</a></o><o><a>&bomb;</a></o><o><a>2</a></o></r>",
        &["1: a='1'", "1! &bomb; is unknown", "1: a='2'"],
    );
    let broken = items_of(
        &xml("o"),
        Input::from_text("<r><o><a>1</a></o><o><a></o></r>"),
    );
    assert!(
        broken[0] == "1: a='1'" && broken[1].contains("it is not XML"),
        "{broken:?}"
    );
    let cut = items_of(&xml("o"), Input::from_text("<r><o><a>1</a></o><o><a>"));
    assert!(
        cut[1].contains("it ends in the middle of an element"),
        "{cut:?}"
    );
    let deep = items_of(&xml("o"), Input::from_text("<a>".repeat(1_000)));
    assert!(deep[0].contains("nested more than 256 deep"), "{deep:?}");
    // Entities that the document defines are never expanded.
    let laughs =
        "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><r><o><x>&b;</x></o></r>";
    check(&xml("o"), laughs, &["1! &b; is unknown"]);
    let wide = format!(
        "<r><o>{}</o><o><a>1</a></o></r>",
        "<x>0123456789</x>".repeat(120_000)
    );
    let items = items_of(&xml("o"), Input::from_text(wide));
    assert_eq!(items, ["1! longer than 1 MiB", "1: a='1'"]);
}

#[test]
fn fixed_columns_and_patterns_split_lines() {
    let format = Format::Fixed(vec![("id".to_owned(), 3), ("name".to_owned(), 5)]);
    check(
        &format,
        "001Ann  \n002Bérén  \n003\n0041234567\n",
        &[
            "1: id='001' name='Ann'",
            "2: id='002' name='Bérén'",
            "3! the line ends before column `name`",
            "4! the line is longer than the 8 characters of its columns",
        ],
    );
    let pattern = Pattern::new(r"^(?<level>[A-Z]+) (?<text>.*?)(?: \[(?<id>\d+)\])?$").unwrap();
    check(
        &Format::Lines(pattern),
        "WARN hot [7]\nINFO cold\nnonsense\n",
        &[
            "1: level='WARN' text='hot' id='7'",
            "2: level='INFO' text='cold' id=null",
            "3! does not match the pattern",
        ],
    );
    assert!(Pattern::new("(").is_err());
    assert!(
        Pattern::new("a(b)")
            .unwrap_err()
            .to_string()
            .contains("has no named group")
    );
}

#[test]
fn gzip_is_recognized_by_its_content() {
    let bytes = gzip(b"a\n1\n2\n");
    let input = unzipped(bytes.clone(), InputLimits::default());
    assert_eq!(items_of(&csv(), input), ["2: a='1'", "3: a='2'"]);
    let twice = [gzip(b"a\n1\n"), gzip(b"2\n")].concat();
    let input = unzipped(twice, InputLimits::default());
    assert_eq!(items_of(&csv(), input), ["2: a='1'", "3: a='2'"]);
    let cut = bytes[..bytes.len() - 9].to_vec();
    let items = items_of(&csv(), unzipped(cut, InputLimits::default()));
    assert!(
        items.last().unwrap().contains("its gzip data is damaged"),
        "{items:?}"
    );
}

#[test]
fn a_gzip_bomb_is_refused() {
    let line = vec![b'x'; 40 << 20];
    let bomb = gzip(&line);
    assert!(bomb.len() < 100 * 1024);
    let limits = InputLimits {
        ratio: 100,
        ..InputLimits::default()
    };
    let told_of = items_of(&Format::JsonLines, unzipped(bomb.clone(), limits));
    assert_eq!(
        told_of,
        ["! it decompresses to more than 100 times its size"]
    );
    let limits = InputLimits {
        bytes: 1 << 20,
        ..InputLimits::default()
    };
    let told_of = items_of(&Format::JsonLines, unzipped(bomb, limits));
    assert_eq!(told_of, ["! it decompresses to more than 1048576 bytes"]);
}

/// In every format, reading from the position after any item returns the remaining items.
#[test]
fn reading_continues_after_any_item() {
    let cases: [(Format, &str); 6] = [
        (csv(), "a,b\n1,2\n\"x\ny\",3\nbad\n4,5\n"),
        (Format::JsonLines, "{\"a\":1}\n\nbad\n{\"a\":2}\n"),
        (json(&["d"]), "{\"d\":[{\"a\":1},\n7, {\"a\":\n2}]}"),
        (
            xml("r/o"),
            "<r><o a='1'/>\n<o>\n<a>2</a></o><o a='&x;'/><o a='3'/></r>",
        ),
        (Format::Fixed(vec![("a".to_owned(), 1)]), "1\n22\n3\n"),
        (
            Format::Lines(Pattern::new("^(?<a>.)$").unwrap()),
            "1\n22\n3\n",
        ),
    ];
    for (format, text) in cases {
        let all = items_of(&format, Input::from_text(text));
        assert!(all.len() >= 3, "{all:?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut records = read(&format, Input::from_text(text), Position::default()).unwrap();
        for count in 1..=all.len() {
            records.next().unwrap().unwrap();
            let from = records.position();
            let rest = items_from(&format, Input::from_text(text), from);
            assert_eq!(rest, all[count..], "{text} count {count}");
            let opened = std::fs::File::open(file.path()).unwrap();
            let opened = Input::from_file(opened, InputLimits::default()).unwrap();
            assert_eq!(items_from(&format, opened, from), all[count..]);
            let zipped = unzipped(gzip(text.as_bytes()), InputLimits::default());
            assert_eq!(items_from(&format, zipped, from), all[count..]);
        }
    }
}

#[test]
fn a_last_line_without_a_line_break_is_read_again() {
    let mut records = read(&csv(), Input::from_text("a\n1\n2"), Position::default()).unwrap();
    records.next().unwrap();
    let after_first = records.position();
    let last = records.next().unwrap().unwrap();
    assert_eq!(text_of(&last), "3: a='2'");
    assert_eq!(records.position(), after_first);
    let grown = items_from(&csv(), Input::from_text("a\n1\n25\n6\n"), after_first);
    assert_eq!(grown, ["3: a='25'", "4: a='6'"]);
}
