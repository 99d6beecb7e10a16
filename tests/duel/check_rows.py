"""Checks and the servers they are tried on: `test_health_checks` compares what comes of them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.scripted import Script


@dataclass(frozen=True)
class Row:
    """A backend of these lines, and a server that follows the script."""

    id: str
    lines: tuple[str, ...]
    script: Script
    options: str = ""
    address: str = "127.0.0.1:{port}"
    forgets: bool = False

    def backend(self, port: int) -> str:
        """The backend section."""
        lines = "".join(f"    {line}\n" for line in self.lines).replace("{port}", str(port))
        address = self.address.replace("{port}", str(port))
        return f"backend {self.id}\n{lines}    server srv {address} check inter 60s rise 1 fall 1 {self.options}\n"


_MYSQL_GREETING = bytes.fromhex(
    "4a0000000a382e302e3139000a0000006f3c025e6249410d00ffffff0200ffc715000000000000000000007c182159106e27"
    "61144322200063616368696e675f736861325f70617373776f726400"
)
_MYSQL_ERROR = bytes.fromhex(
    "67000002ffe304436c69656e7420646f6573206e6f7420737570706f72742061757468656e7469636174696f6e2070726f74"
    "6f636f6c20726571756573746564206279207365727665723b20636f6e736964657220757067726164696e67204d7953514c"
    "20636c69656e74"
)
_SPOP_2 = bytes.fromhex(
    "00000036650000000100000776657273696f6e0803322e300e6d61782d6672616d652d73697a6503fcf0060c636170616269"
    "6c69746965730800"
)
_SPOP_3 = bytes.fromhex(
    "00000036660000000100000776657273696f6e0803322e300e6d61782d6672616d652d73697a6503fcf0060c636170616269"
    "6c69746965730800"
)

HTTP_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

ROWS = (
    # plain and HTTP
    Row("l4", (), ("hold",)),
    Row("l4refuse", (), ("refuse",)),
    Row("l4unreach", (), ("refuse",), address="255.255.255.255:1111"),
    Row("tcpnone", ("option tcp-check",), ("hold",)),
    Row("tcp2", ("option tcp-check", "tcp-check connect port {port}", "tcp-check connect port 1"), ("hold",)),
    Row(
        "tcp2c",
        ("option tcp-check", "tcp-check connect port {port}", "tcp-check connect port 1 comment foo"),
        ("hold",),
    ),
    Row("http1", ("option httpchk",), ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
    Row("http404", ("option httpchk",), ("head", b"HTTP/1.1 404 Not Here\r\ncontent-length: 0\r\n\r\n")),
    Row("http200msg", ("option httpchk GET /x?y HTTP/1.1\\r\\nHost:\\ www",), ("head", b"HTTP/1.0 200 \r\n\r\n")),
    Row("httpgarb", ("option httpchk",), ("head", b"FOO\r\n\r\n")),
    Row("httpempty", ("option httpchk",), ("head",)),
    Row("httpshort", ("option httpchk",), ("head", b"HTTP/1.0 20")),
    Row("httprst", ("option httpchk",), ("head", "reset")),
    Row("httptout", ("option httpchk",), ("hold",)),
    Row(
        "httpsend",
        (
            "option httpchk",
            'http-check send meth POST uri /foo ver HTTP/1.1 hdr Host abc hdr X-y "%[be_name]" body "xyz"',
        ),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "httpsendstate",
        ("option httpchk HEAD / HTTP/1.0", "http-check send-state"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "exp200",
        ("option httpchk", "http-check expect status 200-299 comment zz"),
        ("head", b"HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "exprst",
        ("option httpchk", "http-check expect rstatus ^5"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "exprstn",
        ("option httpchk", "http-check expect ! rstatus ^2"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "expstr",
        ("option httpchk", "http-check expect string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbar"),
    ),
    Row(
        "expstrok",
        ("option httpchk", "http-check expect string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfoo"),
    ),
    Row(
        "expstrnobody",
        ("option httpchk", "http-check expect string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "expstrn",
        ("option httpchk", "http-check expect ! string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfoo"),
    ),
    Row(
        "exprstr",
        ("option httpchk", "http-check expect rstring fo+"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbar"),
    ),
    Row(
        "exprstrn",
        ("option httpchk", "http-check expect ! rstring fo+"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfoo"),
    ),
    Row(
        "exphdr",
        ("option httpchk", "http-check expect hdr name x-a value foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "exphdrn",
        ("option httpchk", "http-check expect ! hdr name content-length"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "expfhdr",
        ("option httpchk", "http-check expect fhdr name -m beg content- value -m sub 5"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "expsl",
        ("option httpchk", 'http-check expect string-lf "%[be_name]"'),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nxexps"),
    ),
    Row(
        "d404",
        ("option httpchk", "http-check disable-on-404"),
        ("head", b"HTTP/1.1 404 Not Here\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "d404b",
        ("option httpchk", "http-check disable-on-404", "http-check expect status 200"),
        ("head", b"HTTP/1.1 404 Not Here\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "okst",
        (
            "option httpchk",
            'http-check expect ok-status L7OKC on-success "yes %[res.hdr(content-length)]" status-code int(42)'
            " status 200",
        ),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "errst",
        (
            "option httpchk",
            'http-check expect error-status L7RSP on-error "no %[status]" status-code int(43) status 201',
        ),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row("toutst", ("option httpchk", "http-check expect tout-status L6TOUT status 201"), ("hold",)),
    # tcp-check
    Row("hconn", ("option httpchk", "http-check connect port 1"), ("hold",)),
    Row(
        "hconn2",
        (
            "option httpchk",
            "http-check connect port 1 comment ff",
            "http-check send uri /",
            "http-check expect status 200",
        ),
        ("hold",),
    ),
    Row(
        "hconnl7",
        (
            "option httpchk",
            "http-check connect",
            "http-check send uri /x hdr a b",
            "http-check expect status 200 comment hoho",
        ),
        ("head", b"HTTP/1.0 500 bad\r\n\r\n"),
    ),
    Row(
        "hconntout",
        (
            "option httpchk",
            "http-check connect",
            "http-check send uri /x hdr a b",
            "http-check expect status 200 comment hoho",
        ),
        ("hold",),
    ),
    Row(
        "hcto2",
        (
            "option httpchk",
            "http-check comment first",
            "http-check connect",
            "http-check send uri /x hdr a b",
            "http-check comment thd",
            "http-check expect status 200",
        ),
        ("hold",),
    ),
    Row("t1", ("option tcp-check", "tcp-check expect string +OK"), (b"+OK hi\r\n", "hold")),
    Row("t2", ("option tcp-check", "tcp-check expect string +OK"), (b"-ER hi\r\n", "hold")),
    Row("t2b", ("option tcp-check", "tcp-check expect string +OK"), (b"-ER hi\r\n",)),
    Row("t3", ("option tcp-check", "tcp-check expect ! string +OK"), (b"+OK hi\r\n", "hold")),
    Row("t3c", ("option tcp-check", "tcp-check expect ! string +OK comment foo"), (b"+OK hi\r\n", "hold")),
    Row("t4", ("option tcp-check", "tcp-check expect rstring ^\\+O+K"), (b"-OK hi\r\n",)),
    Row("t4n", ("option tcp-check", "tcp-check expect ! rstring ^\\+O+K"), (b"+OK hi\r\n", "hold")),
    Row("t5", ("option tcp-check", "tcp-check expect binary 2b4F4b"), (b"-OK hi\r\n",)),
    Row("t5n", ("option tcp-check", "tcp-check expect ! binary 2b4F4b"), (b"+OK hi\r\n",)),
    Row("t6", ("option tcp-check", "tcp-check expect rbinary ^2b4f"), (b"-OK hi\r\n",)),
    Row("t6ok", ("option tcp-check", "tcp-check expect rbinary ^2B4F"), (b"+OK hi\r\n", "hold")),
    Row("t6n", ("option tcp-check", "tcp-check expect ! rbinary ^2B4F"), (b"+OK hi\r\n", "hold")),
    Row("t7", ("option tcp-check", 'tcp-check expect string-lf "%[be_name]x"'), (b"+OK hi\r\n",)),
    Row("t7n", ("option tcp-check", 'tcp-check expect ! string-lf "%[be_name]"'), (b"t7n hi\r\n",)),
    Row("t8", ("option tcp-check", 'tcp-check expect binary-lf "%[str(2b4F4c)]"'), (b"+OK hi\r\n",)),
    Row("t8b", ("option tcp-check", 'tcp-check expect binary-lf "%[str(zz)]"'), (b"+OK hi\r\n",)),
    Row("t9h", ("option tcp-check", "tcp-check expect string foo"), ("hold",)),
    Row("t9c", ("option tcp-check", "tcp-check expect string foo comment zork"), ("hold",)),
    Row(
        "t9rst",
        ("option tcp-check", "tcp-check send PING\\r\\n", "tcp-check expect string foo comment zork"),
        ("some", "reset"),
    ),
    Row(
        "t9close",
        ("option tcp-check", "tcp-check send PING\\r\\n", "tcp-check expect string foo comment zork"),
        ("some",),
    ),
    Row(
        "t9part",
        ("option tcp-check", "tcp-check send PING\\r\\n", "tcp-check expect string foo comment zork"),
        ("some", b"fo"),
    ),
    Row(
        "t10",
        ("option tcp-check", "tcp-check send PING\\r\\n", "tcp-check expect string foo"),
        ("some", b"foo", "hold"),
    ),
    Row(
        "t10x",
        (
            "option tcp-check",
            "tcp-check send PING\\r\\n",
            "tcp-check expect string foo",
            "tcp-check send QUIT\\r\\n",
            "tcp-check expect string bar",
        ),
        ("some", b"foo", "some", b"BAR"),
    ),
    Row(
        "t10y",
        ("option tcp-check", "tcp-check send PING\\r\\n", "tcp-check expect string foo", "tcp-check expect string bar"),
        ("some", b"foo bar", b"BAR"),
    ),
    Row(
        "t10z",
        (
            "option tcp-check",
            "tcp-check send PING\\r\\n",
            "tcp-check expect string foo on-success yes",
            'tcp-check send-binary 414243 comment "last"',
        ),
        ("some", b"foo bar", "hold"),
    ),
    Row("t11", ("option tcp-check", "tcp-check expect min-recv 10 string foo"), (b"bar", "hold")),
    Row("t11b", ("option tcp-check", "tcp-check expect min-recv 2 string foo"), (b"bar", "hold")),
    Row("t11c", ("option tcp-check", "tcp-check expect min-recv 0 string foo"), (b"ba", 0.1, b"foo", "hold")),
    Row("t11d", ("option tcp-check", "tcp-check expect min-recv 10 ! rstring foo"), (b"bar", "hold")),
    Row("t11e", ("option tcp-check", "tcp-check expect min-recv 10 ! rstring foo"), (b"bar",)),
    Row(
        "t12",
        (
            "option tcp-check",
            'tcp-check expect error-status L4CON on-error "uh %[res.len] %[res.payload(0,3)]" status-code int(12)'
            " string foo",
        ),
        (b"bar",),
    ),
    Row(
        "t12b",
        ("option tcp-check", 'tcp-check expect error-status L7STS on-error "uh" status-code int(12) string foo'),
        (b"bar",),
    ),
    Row(
        "t12c",
        (
            "option tcp-check",
            'tcp-check expect ok-status L6OK on-success "uh %[res.payload(0,3)]" status-code int(12) string foo',
        ),
        (b"foobar",),
    ),
    Row("t12d", ("option tcp-check", "tcp-check expect ok-status L7OKC status-code int(12) string foo"), (b"foobar",)),
    Row("t12e", ("option tcp-check", "tcp-check expect error-status L7OKC status-code int(12) string foo"), (b"bar",)),
    Row(
        "t13",
        (
            "option tcp-check",
            "tcp-check set-var(check.x) str(abc)",
            "tcp-check connect",
            'tcp-check send-lf "%[var(check.x)]\\r\\n"',
            'tcp-check send-binary-lf "%[str(4142)]"',
            "tcp-check unset-var(check.x)",
            'tcp-check send-lf "<%[var(check.x)]>"',
            "tcp-check expect string foo",
        ),
        (0.2, "some", b"foo", "hold"),
    ),
    Row(
        "t14",
        (
            "option tcp-check",
            "tcp-check connect",
            "tcp-check connect linger",
            "tcp-check expect string a",
            "tcp-check connect port int(1)",
        ),
        (b"a", "hold"),
    ),
    Row("t15", ("option tcp-check", "tcp-check connect addr 255.255.255.255"), (b"a", "hold")),
    Row(
        "t16", ("option tcp-check", "tcp-check connect send-proxy", "tcp-check expect string a"), ("some", b"a", "hold")
    ),
    Row(
        "t17",
        ("option tcp-check", "tcp-check connect ssl", "tcp-check expect string a"),
        ("some", b"a", "hold"),
        options="verify none",
    ),
    Row(
        "t17b",
        ("option tcp-check", "tcp-check connect ssl", "tcp-check expect string a"),
        ("some",),
        options="verify none",
    ),
    Row("t17c", ("option tcp-check", "tcp-check connect ssl"), ("hold",), options="verify none"),
    Row("s2", (), ("hold",), options="check-ssl verify none"),
    Row("s3", (), ("some", b"HTTP/1.1 400 Bad\r\n\r\n"), options="check-ssl verify none"),
    Row("s4", ("option httpchk",), ("some", b"HTTP/1.1 400 Bad\r\n\r\n"), options="check-ssl verify none"),
    Row("spx", (), ("hold",), options="send-proxy"),
    Row("quote", ("option httpchk",), ("head", b'HTTP/1.1 500 a "b" \\ c\td\x80\r\n\r\n')),
    Row(
        "long",
        ("option httpchk",),
        (
            "head",
            b"HTTP/1.1 500 " + b"x" * 200 + b"\r\n\r\n",
        ),
    ),
    # protocols
    Row("sm1", ("option smtpchk",), (b"220 hi\r\n", 16, b"250 ok\r\n", 6, b"221 bye\r\n")),
    Row("sm2", ("option smtpchk EHLO dom.tld",), (b"220 hi\r\n", 14, b"250-a\r\n250 ok\r\n", 6, b"221 bye\r\n")),
    Row("sm3", ("option smtpchk",), (b"554 go away\r\n", "hold")),
    Row("sm4", ("option smtpchk",), (b"220 hi\r\n", 16, b"550 no\r\n", 6, b"221 bye\r\n")),
    Row("sm5", ("option smtpchk",), (b"220 hi\r\n", 16, b"250 ok\r\n", 6, b"421 bad\r\n")),
    Row("sm6", ("option smtpchk",), (b"blah\r\n", "hold")),
    Row("sm7", ("option smtpchk",), (b"22",)),
    Row("sm7h", ("option smtpchk",), (b"22", "hold")),
    Row("sm8h", ("option smtpchk",), ("hold",)),
    Row("sm9", ("option smtpchk",), (b"220 hi\r\n", 16, b"250 ok\r\n", 6)),
    Row("sm10", ("option smtpchk",), (b"220 hi\r\n", 16)),
    Row("sm10h", ("option smtpchk",), (b"220 hi\r\n", "hold")),
    Row("sm11", ("option smtpchk",), (b"220-one\r\n220 two\r\n", 16, b"250 ok\r\n", 6, b"221 see you\r\n")),
    Row("sm12", ("option smtpchk",), (b"220 hi\n", 16, b"250 ok\n", 6, b"221\n")),
    Row("sm13", ("option smtpchk",), (b"220 hi\r\n", 16, b"250-a\r\n", 0.1, b"250 b\r\n", 6, b"221\r\n")),
    Row("sm14", ("option smtpchk",), (b"\r\n", 0.1, b"x")),
    Row(
        "my1",
        ("option mysql-check",),
        (
            _MYSQL_GREETING,
            "hold",
        ),
        forgets=True,
    ),
    Row(
        "my2",
        ("option mysql-check user user pre-41",),
        (
            _MYSQL_GREETING,
            20,
            b"\x03\x00\x00\x02\x00\x00\x00",
            "hold",
        ),
        forgets=True,
    ),
    Row(
        "my3",
        ("option mysql-check user user",),
        (
            _MYSQL_GREETING,
            47,
            b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00",
            "hold",
        ),
        forgets=True,
    ),
    Row(
        "my3b",
        ("option mysql-check user user post-41",),
        (
            _MYSQL_GREETING,
            "some",
            b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00",
            "hold",
        ),
        forgets=True,
    ),
    Row(
        "my4",
        ("option mysql-check user pouet",),
        (
            _MYSQL_GREETING,
            "some",
            _MYSQL_ERROR,
        ),
    ),
    Row("my7", ("option mysql-check",), ("hold",)),
    Row("my8", ("option mysql-check",), (b"\x17\x00\x00\x00\xffj\x04Host is blocked...",)),
    Row("my9", ("option mysql-check",), (b"garbage in here",)),
    Row("my10", ("option mysql-check",), (b"\x05\x00\x00\x00\n8.0",)),
    Row(
        "my11",
        ("option mysql-check user u",),
        (
            _MYSQL_GREETING,
            "some",
            b"\x01\x00\x00\x00\x00",
        ),
        forgets=True,
    ),
    Row(
        "my12",
        ("option mysql-check user u",),
        (
            _MYSQL_GREETING,
            "some",
            b"ga",
        ),
    ),
    Row("my13", ("option mysql-check",), (b"\xff\xff\xff\xff\xff",)),
    Row("pg1", ("option pgsql-check user postgres",), (23, b"R\x00\x00\x00\x08\x00\x00\x00\x00")),
    Row("pg2", ("option pgsql-check user postgres",), (23, b"E\x00\x00\x00\x0bSFATAL\x00")),
    Row("pg3", ("option pgsql-check user postgres",), (23, b"Not a PostgreSQL response")),
    Row("pg4", ("option pgsql-check user postgres",), (23, b"R\x00\x00\x00\x17\x00\x00\x00\nSCRAM-SHA-256\x00\x00")),
    Row("pg5", ("option pgsql-check user postgres",), (23,)),
    Row("pg6", ("option pgsql-check user postgres",), (23, b"R\x00\x00")),
    Row("pg7", ("option pgsql-check user postgres",), (23, b"E\x00\x00\x00 short", "hold")),
    Row("pg8", ("option pgsql-check user postgres",), (23, b"E\x00\x00\x00 Sshort")),
    Row("rd1", ("option redis-check",), (14, b"+PONG\r\n")),
    Row("rd2", ("option redis-check",), (14, b"-ERR no\r\n")),
    Row("rd3", ("option redis-check",), (14, b"+PO")),
    Row("rd4", ("option redis-check",), (14,)),
    Row("rd5", ("option redis-check",), ("hold",)),
    Row("ld1", ("option ldap-check",), (14, b"0\x0c\x02\x01\x01a\x07\n\x01\x00\x04\x00\x04\x00"), forgets=True),
    Row("ld2", ("option ldap-check",), (14, b"0\x0c\x02\x01\x01`\x07\n\x01\x00\x04\x00\x04\x00")),
    Row("ld3", ("option ldap-check",), (14, b"0\x0c\x02\x01\x01a\x07\n\x01\x01\x04\x00\x04\x00")),
    Row(
        "ld4",
        ("option ldap-check",),
        (14, b"0\x84\x00\x00\x00\x10\x02\x01\x01a\x84\x00\x00\x00\x07\n\x01", 0.1, b"\x00\x04\x00\x04\x00"),
        forgets=True,
    ),
    Row("ld5", ("option ldap-check",), (14,)),
    Row("ld6", ("option ldap-check",), (14, b"foooooooooooooooooooooooo")),
    Row("ld7", ("option ldap-check",), (14, b"0\x0c\x02\x01\x02a\x07\n\x01\x00\x04\x00\x04\x00")),
    Row("ld8", ("option ldap-check",), (14, b"0\x0c\x02")),
    Row("ld9", ("option ldap-check",), ("hold",)),
    Row("ld10", ("option ldap-check",), (14, b"0\x85\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")),
    Row("sh1", ("option ssl-hello-chk",), ("some", b"\x16\x03\x00\x00\x00")),
    Row("sh2", ("option ssl-hello-chk",), ("some", b"\x15\x03\x00\x00\x02\x02(")),
    Row("sh3", ("option ssl-hello-chk",), ("some", b"HTTP/1.0 400\r\n")),
    Row("sh4", ("option ssl-hello-chk",), ("some",)),
    Row("sh5", ("option ssl-hello-chk",), ("hold",)),
    Row("sh6", ("option ssl-hello-chk",), ("some", b"\x16\x03")),
    Row(
        "sp1",
        ("option spop-check",),
        (
            "some",
            _SPOP_2,
        ),
        forgets=True,
    ),
    Row("sp2", ("option spop-check",), ("some", b"garbage")),
    Row("sp3", ("option spop-check",), ("some",)),
    Row("sp4", ("option spop-check",), ("hold",)),
    Row("sp5", ("option spop-check",), ("some", b"\x00\x00\x00\x07e\x00\x00\x00\x01\x00\x00")),
    Row(
        "sp6",
        ("option spop-check",),
        (
            "some",
            _SPOP_3,
        ),
    ),
    # steps, comments, HTTP again
    Row("i1", ("option tcp-check", "tcp-check expect string foo"), ("refuse",)),
    Row("i2", ("option tcp-check", "tcp-check connect"), ("refuse",)),
    Row("i3", ("option tcp-check", "tcp-check connect comment abc"), ("refuse",)),
    Row("i4", ("option tcp-check", "tcp-check set-var(check.a) int(1)", "tcp-check connect"), ("refuse",)),
    Row("i5", ("option tcp-check", "tcp-check comment one", "tcp-check connect"), ("refuse",)),
    Row(
        "i6",
        (
            "option tcp-check",
            "tcp-check comment one",
            "tcp-check connect",
            "tcp-check comment two",
            "tcp-check expect string a",
        ),
        ("hold",),
    ),
    Row(
        "i7", ("option tcp-check", "tcp-check comment one", "tcp-check connect", "tcp-check expect string a"), ("hold",)
    ),
    Row(
        "i8",
        (
            "option tcp-check",
            "tcp-check connect",
            "tcp-check comment one",
            "tcp-check send foo",
            "tcp-check expect string a",
        ),
        ("hold",),
    ),
    Row(
        "i9",
        (
            "option tcp-check",
            "tcp-check connect",
            "tcp-check comment one",
            "tcp-check send foo",
            "tcp-check expect string a comment x",
        ),
        ("some", b"bbb"),
    ),
    Row(
        "i10",
        (
            "option tcp-check",
            "tcp-check connect",
            "tcp-check comment one",
            "tcp-check send foo",
            "tcp-check expect string a",
        ),
        ("some", b"bbb"),
    ),
    Row("e1", ("option tcp-check", "tcp-check expect binary 2b4F"), ("hold",)),
    Row("e2", ("option tcp-check", "tcp-check expect rbinary 2b4F"), ("hold",)),
    Row("e3", ("option tcp-check", "tcp-check expect string-lf foo"), ("hold",)),
    Row("e4", ("option tcp-check", "tcp-check expect binary-lf 2b"), ("hold",)),
    Row("e5", ("option tcp-check", "tcp-check expect ! string foo"), ("hold",)),
    Row("e6", ("option tcp-check", "tcp-check expect ! rstring foo"), (b"bar", "hold")),
    Row("e7", ("option tcp-check", "tcp-check expect rstring foo"), (b"bar", "hold")),
    Row("l1", ("option tcp-check", "tcp-check expect string foo"), ("hold",), options="check-ssl verify none"),
    Row("l2", ("option redis-check",), ("hold",), options="check-ssl verify none"),
    Row("n1", ("option tcp-check", "tcp-check connect", "tcp-check set-var(check.a) int(1)"), ("hold",)),
    Row("n2", ("option tcp-check", "tcp-check comment foo"), ("hold",)),
    Row("n3", ("option tcp-check", "tcp-check set-var(check.a) int(1)"), ("hold",)),
    Row("n4", ("option tcp-check", "tcp-check send foo"), ("hold",)),
    Row(
        "n5",
        ("option tcp-check", "tcp-check connect", "tcp-check expect string a", "tcp-check connect"),
        (b"a", "hold"),
    ),
    Row(
        "n6",
        ("option tcp-check", 'tcp-check expect string a on-success "hey"', "tcp-check set-var(check.a) int(1)"),
        (b"a", "hold"),
    ),
    Row("n7", ("option tcp-check", "tcp-check send foo", "tcp-check expect string a"), (b"aa",)),
    Row(
        "h1",
        (
            "option httpchk",
            "http-check connect",
            "http-check send meth GET",
            "http-check expect status 200",
            "http-check connect",
            "http-check send meth GET uri /b",
            "http-check expect string foo",
        ),
        ("head", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nfoo\r\n0\r\n\r\n"),
    ),
    Row(
        "h2",
        (
            "option httpchk",
            "http-check send meth GET",
            "http-check expect status 200",
            "http-check expect string foo",
            "http-check expect rstring ^f.o\\$",
        ),
        ("head", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nfoo\r\n0\r\n\r\n"),
    ),
    Row(
        "h3",
        ("option httpchk", "http-check expect string foo"),
        ("head", b"HTTP/1.0 200 OK\r\n\r\nbarfo", 0.05, b"ofoo"),
    ),
    Row(
        "h4",
        ("option httpchk", "http-check expect string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbarfoo", "hold"),
    ),
    Row(
        "h5",
        ("option httpchk", "http-check expect string fook"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbarfoo"),
    ),
    Row(
        "h6",
        ("option httpchk", "http-check expect string fook"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbarfoo", "hold"),
    ),
    Row(
        "h7",
        ("option httpchk", "http-check expect ! string fook"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbarfoo", "hold"),
    ),
    Row(
        "h8",
        ("option httpchk",),
        ("head", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbarfoo", "hold"),
    ),
    Row(
        "h9",
        ("option httpchk",),
        ("head", b"HTTP/1.1 101 Switch\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n", "hold"),
    ),
    Row(
        "h9b",
        ("option httpchk", "http-check expect status 101"),
        ("head", b"HTTP/1.1 101 Switch\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n", "hold"),
    ),
    Row(
        "h10",
        ("option httpchk", "http-check expect status 200 on-success foo comment bar"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "h11",
        ("option httpchk", "http-check expect status 200", "http-check expect hdr name foo comment bar"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row("h12", ("option httpchk HEAD /a",), ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
    Row("h13", ("option httpchk /a",), ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
    Row(
        "h14",
        (
            "option httpchk GET http://foo/a HTTP/1.1",
            "http-check send hdr Content-Length 5 hdr Transfer-Encoding chunked hdr Connection foo hdr Host bar",
        ),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "h15",
        ("option httpchk GET http://foo/a HTTP/1.1", 'http-check send meth PUT body-lf "%[srv_name]"'),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "h16",
        ("option httpchk", "http-check send ver HTTP/1.1 hdr connection keep-alive"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row(
        "h17",
        ("option httpchk OPTIONS * HTTP/1.1\\r\\nHost:\\ www\\r\\nFoo:\\ bar",),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row("h18", ("option httpchk GET /a HTTP/1.1 ",), ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
    Row("h19", ("option httpchk", "http-check send-state"), ("head", b"HTTP/1.0 500 x\r\n\r\n")),
    Row(
        "h20",
        ("option httpchk", "http-check expect rstatus foo", "http-check expect status 200"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row("h21", ("option httpchk", "http-check expect status 600"), ("head", b"HTTP/1.1 600 OK\r\n\r\n")),
    Row("h22", ("option httpchk", "http-check expect status 200"), ("head", b"HTTP/2.0 200 OK\r\n\r\n")),
    Row("h23", ("option httpchk", "http-check expect status 200"), ("head", b"HTTP/1.1 200 OK\r\nfoo bar\r\n\r\n")),
    Row(
        "h24",
        ("option httpchk", "http-check expect status 200"),
        ("head", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
    ),
    Row(
        "h25",
        ("option httpchk", "http-check expect string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
    ),
    Row(
        "h26",
        ("option httpchk", "http-check expect string foo"),
        (
            "head",
            b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + b"x" * 20000 + b"foo",
        ),
    ),
    Row(
        "h27",
        ("option httpchk", "http-check expect string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", 0.1, b"xxxfoo"),
    ),
    Row(
        "h28",
        ("option httpchk", "http-check expect ! string foo"),
        ("head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    Row("x1", ("option smtpchk",), (b"220 hi\r\n", 16, b"250-a\r\n", "hold")),
    Row("x2", ("option smtpchk",), (b"220 hi\r\n", 16, b"250-a\r\n")),
    Row("x3", ("option smtpchk",), (b"220 hi\r\n", 16, b"2501 x\r\n")),
    Row("x4", ("option smtpchk",), (b"220 hi\r\n", 16, b"250\r\n", 6, b"221-x\r\n")),
    Row("x5", ("option smtpchk",), (b"220\r\n", 16, b"250\r\n", 6, b"221-x\r\n", "hold")),
    Row("x6", ("option smtpchk",), (b"220-hi\r\n", "hold")),
    Row("x7", ("option smtpchk",), (b"330 hi\r\n", "hold")),
    Row("x8", ("option smtpchk",), (b"220 hi", "hold")),
    Row("x9", ("option smtpchk",), (b"220 hi\r\n", 16, b"25", "hold")),
    Row("x10", ("option smtpchk",), (b"220   hi \r\n", 16, b"250  ", 6, b"221  y ")),
    # odds and ends
    Row("pp2", (), (28, "hold"), options="send-proxy-v2"),
    Row(
        "pp1", ("option tcp-check", "tcp-check connect send-proxy", "tcp-check expect string a"), ("some", b"a", "hold")
    ),
    Row("csp", (), ("some", "hold"), options="check-send-proxy"),
    Row("oec", ("option tcp-check", "tcp-check expect comment cc on-error oops string foo"), (b"bar",)),
    Row("osc", ("option tcp-check", "tcp-check expect comment cc on-success fine string foo"), (b"foo",)),
    Row("hoec", ("option httpchk", "http-check expect comment cc on-error oops status 201"), ("head", HTTP_OK)),
    Row("sbl", ("option tcp-check", 'tcp-check send-binary-lf "%[str(zz)]"', "tcp-check expect string foo"), ("some",)),
    Row("hst", ("option httpchk", "http-check send-state", "http-check send hdr a b body xy"), ("head", HTTP_OK)),
    Row(
        "hlf",
        ("option httpchk", 'http-check send uri-lf "/%[srv_name]" hdr x "%[be_name] %[srv_id]"'),
        ("head", HTTP_OK),
    ),
    Row(
        "hvar",
        ("option httpchk", "http-check set-var-fmt(check.a) x%[srv_name]", "http-check send uri-lf /%[var(check.a)]"),
        ("head", HTTP_OK),
    ),
    Row("rdh", ("option redis-check",), (14, b"-NOAUTH Authentication required.\r\n", "hold")),
    Row("rdl", ("option redis-check",), (14, b"-NO\r\n", "hold")),
    Row("pga", ("option pgsql-check user u",), ("some", b"R\0\0\0\x08\0\0\0\x01")),
    Row("pgb", ("option pgsql-check user u",), ("some", b"R\0\0\0\x08\0\0\0\x05")),
    Row("pgc", ("option pgsql-check user u",), ("some", b"R\0\0\0\x08\0\0\0\x08")),
    Row("pgd", ("option pgsql-check user u",), ("some", b"R\0\0\0\x08\0\0\0\x0b")),
    Row("pge", ("option pgsql-check user u",), ("some", b"R\0\0\0", "hold")),
    Row("mye", ("option mysql-check",), (b"\x15\0\0\0\xff\x6a\x04Host is blocked...", "hold")),
    Row("myf", ("option mysql-check user u",), (b"\x15\0\0\0\xff\x6a\x04Host is blocked...", "hold")),
    Row("myg", ("option mysql-check",), (b"\x0b\0\0\0\xff\x6a\x04#08004no", "hold")),
    Row("myi", ("option mysql-check",), (b"\x05\0\0\0\x0a8.0\0", "hold"), forgets=True),
    Row("ldi", ("option ldap-check",), (14, b"0\x0c\2\1\1a\x07\n\1\x31\4\0\4\0")),
    Row("ldh", ("option ldap-check",), (14, b"0\x0c\2\1\1a", "hold")),
    Row("shh", ("option ssl-hello-chk",), ("some", b"\x16\3", "hold")),
    Row("shk", ("option ssl-hello-chk",), ("some", b"HTTP/1.0 400 bad\r\n", "hold")),
    Row("sph", ("option spop-check",), ("some", b"\0\0\0\x36\x65", "hold")),
    Row("nul", ("option tcp-check", "tcp-check expect rstring b"), (b"a\0b", "hold")),
    Row("nus", ("option tcp-check", "tcp-check expect string b"), (b"a\0b", "hold")),
    Row("nub", ("option tcp-check", "tcp-check expect binary 0062"), (b"a\0b", "hold")),
    Row("n1r", ("option tcp-check", "tcp-check comment foo"), ("refuse",)),
    Row("n0r", ("option tcp-check",), ("refuse",)),
    Row("w0", ("option httpchk",), ("head", HTTP_OK), options="weight 0"),
    Row("bk", ("option httpchk",), ("head", HTTP_OK), options="backup"),
    Row("bkd", (), ("refuse",), options="backup"),
    Row("hc6", ("option httpchk GET /y HTTP/1.1", "http-check connect", "http-check send hdr a b"), ("head", HTTP_OK)),
    Row("hc7", ("option httpchk GET /y HTTP/1.1", "http-check connect"), ("head", HTTP_OK)),
    Row("hc8", ("http-check connect", "http-check send hdr a b", "option httpchk GET /y"), ("head", HTTP_OK)),
    Row("hc9", ("http-check send hdr a b uri /x", "option httpchk GET /y"), ("head", HTTP_OK)),
    Row("hc4", ("http-check send hdr a b", "option httpchk GET /y"), ("head", HTTP_OK)),
)
