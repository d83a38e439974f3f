//! Reads back what a PDF of ours says, for the tests: no program that does it is on every machine. It knows the few things our files
//! contain, and what it finds comes from the file alone: glyphs by the file's own `ToUnicode` maps, shapes by their corners.

use std::collections::BTreeMap;

/// The texts of each page, in the order they were drawn.
pub(super) fn pages(pdf: &[u8]) -> Vec<Vec<String>> {
    let file: String = pdf.iter().map(|b| char::from(*b)).collect();
    split_pages(&file)
        .map(|page| {
            let drawing = stream(object(&file, referred(page, "/Contents ")));
            let resources = object(&file, referred(page, "Resources "));
            texts(drawing, &fonts(&file, resources))
        })
        .collect()
}

/// The black rectangles of all pages: left, top, right, bottom.
pub(super) fn black(pdf: &[u8]) -> Vec<[f32; 4]> {
    let file: String = pdf.iter().map(|b| char::from(*b)).collect();
    let mut found = Vec::new();
    for page in split_pages(&file) {
        let content = stream(object(&file, referred(page, "/Contents ")));
        for shape in content.split(" 0 0 0 rg ").skip(1) {
            let shape = shape.split("\nf").next().unwrap();
            for bar in shape.split('h').filter(|bar| bar.contains('m')) {
                let numbers: Vec<f32> = bar
                    .split_whitespace()
                    .filter_map(|word| word.parse().ok())
                    .collect();
                let [left, top, _, _, right, bottom, ..] = numbers[..] else {
                    panic!("no rectangle: {bar}")
                };
                found.push([left, top, right, bottom]);
            }
        }
    }
    found
}

fn object<'f>(file: &'f str, number: &str) -> &'f str {
    let (_, rest) = file.split_once(&format!("\n{number} 0 obj\n")).unwrap();
    rest.split("\nendobj").next().unwrap()
}

/// The number of the object that a member refers to.
fn referred<'f>(text: &'f str, member: &str) -> &'f str {
    let (_, rest) = text.split_once(member).unwrap();
    rest.trim_start().split(' ').next().unwrap()
}

fn stream(object: &str) -> &str {
    let (_, rest) = object.split_once("stream\n").unwrap();
    rest.split("\nendstream").next().unwrap()
}

fn split_pages(file: &str) -> impl Iterator<Item = &str> {
    file.split("<</Type/Page/").skip(1)
}

type Characters = BTreeMap<u16, String>;

/// What each glyph stands for, by the name a page has for the font.
fn fonts(file: &str, resources: &str) -> BTreeMap<String, Characters> {
    let (_, named) = resources.split_once("/Font<<").unwrap();
    let named = named.split(">>").next().unwrap();
    let words: Vec<&str> = named.split([' ', '/']).filter(|w| !w.is_empty()).collect();
    words
        .chunks(4)
        .map(|font| {
            let map = stream(object(file, referred(object(file, font[1]), "/ToUnicode ")));
            (font[0].to_owned(), characters(map))
        })
        .collect()
}

fn characters(map: &str) -> Characters {
    let hex = |text: &str| -> Vec<u16> {
        let text = text.trim_matches(['<', '>']);
        (0..text.len() / 4)
            .map(|i| u16::from_str_radix(&text[4 * i..4 * i + 4], 16).unwrap())
            .collect()
    };
    map.lines()
        .filter_map(|line| line.split_once("> <"))
        .filter(|(from, _)| *from != "<0000")
        .map(|(from, to)| (hex(from)[0], String::from_utf16(&hex(to)).unwrap()))
        .collect()
}

/// What stands between `BT` and `ET`.
fn texts(content: &str, fonts: &BTreeMap<String, Characters>) -> Vec<String> {
    let mut found = Vec::new();
    for text in content.split("\nBT ").skip(1) {
        let text = text.split("\nET").next().unwrap();
        let (_, name) = text.split_once('/').unwrap();
        let font = &fonts[name.split(' ').next().unwrap()];
        let codes = codes(text);
        let said = codes
            .chunks(2)
            .map(|code| font[&u16::from_be_bytes([code[0], code[1]])].as_str());
        found.push(said.collect());
    }
    found
}

/// The bytes of the strings in it: literal with escapes and balanced parentheses, or hexadecimal.
fn codes(text: &str) -> Vec<u8> {
    let mut codes = Vec::new();
    let mut letters = text.bytes().peekable();
    while let Some(byte) = letters.next() {
        if byte == b'<' {
            let hex: Vec<u8> = letters.by_ref().take_while(|b| *b != b'>').collect();
            codes.extend(
                hex.chunks(2).map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
                }),
            );
        }
        if byte != b'(' {
            continue;
        }
        let mut depth = 1;
        while depth > 0 {
            match letters.next().unwrap() {
                b'\\' => codes.push(escaped(&mut letters)),
                other => {
                    depth += i32::from(other == b'(') - i32::from(other == b')');
                    if depth > 0 {
                        codes.push(other);
                    }
                }
            }
        }
    }
    codes
}

fn escaped(letters: &mut std::iter::Peekable<std::str::Bytes<'_>>) -> u8 {
    match letters.next().unwrap() {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        digit @ b'0'..=b'7' => {
            let mut octal = u32::from(digit - b'0');
            for _ in 0..2 {
                let Some(next) = letters.next_if(|b| (b'0'..=b'7').contains(b)) else {
                    break;
                };
                octal = octal * 8 + u32::from(next - b'0');
            }
            u8::try_from(octal).unwrap()
        }
        other => other,
    }
}
