//! Words of HAProxy that we know and do not do yet: they are told apart from misspelt ones.

/// Whether HAProxy has such a sample fetch.
pub(super) fn is_known_fetch(name: &str) -> bool {
    FETCHES.binary_search(&name).is_ok()
        || FETCH_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether HAProxy has such a converter.
pub(super) fn is_known_converter(name: &str) -> bool {
    CONVERTERS.binary_search(&name).is_ok()
        || CONVERTER_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

const FETCH_PREFIXES: &[&str] = &[
    "bc_",
    "fc_",
    "fcgi.",
    "h2.fp",
    "internal.",
    "quic_",
    "res.timer.",
    "req.timer.",
    "sc0_",
    "sc1_",
    "sc2_",
    "sc_",
    "src_",
    "ssl_bc",
    "ssl_c_",
    "ssl_f_",
    "ssl_fc_",
    "ssl_s_",
    "txn.",
    "bytes_",
    "req.ssl_",
    "res.ssl_",
    "fc.",
    "bc.",
];
const CONVERTER_PREFIXES: &[&str] = &["jwt_", "table_", "x509_", "xxh"];

#[rustfmt::skip]
const FETCHES: &[&str] = &[
    "acl", "avg_queue", "base32", "base32+src", "be_server_timeout", "be_tunnel_timeout", "bin",
    "capture.res.ver", "connslots", "cpu_calls", "cpu_ns_avg", "cpu_ns_tot", "cur_client_timeout",
    "cur_server_timeout", "cur_tunnel_timeout", "date_us", "distcc_body", "distcc_param", "dst_conn",
    "dst_is_local", "fe_client_timeout", "fe_defbe", "http_auth_bearer", "http_first_req", "last_rule_file",
    "last_rule_line", "lat_ns_avg", "lat_ns_tot", "nbthread", 
    "prio_class", "prio_offset", "proc", "queue", 
    "rep_ssl_hello_type", "req.body", "req.body_len", "req.body_param", "req.body_size", "req.hdrs_bin",
    
    "res.body", "res.body_len",
    "res.body_size", "res.cache_hit", "res.cache_name", "res.comp", "res.comp_algo", "res.hdrs_bin", "res.len",
    "res.payload", "res.payload_lv", "srv_queue", "srv_uweight",
    "table_avl", "table_cnt", "thread", "url32", "url32+src", "url_ip", "url_port", "wait_end_of_data",
];
#[rustfmt::skip]
const CONVERTERS: &[&str] = &[
    "add_item", "aes_cbc_dec", "aes_cbc_enc", "aes_gcm_dec", "aes_gcm_enc", "base2", "be2dec", "be2hex", "capture-req", "capture-res",
    "crc32", "crc32c", "cut_crlf", "debug", "digest", "djb2", "fix_is_valid", "fix_tag_value", "hmac",
    "htonl", "http_date", "in_table", "ip.fp", "json", "json_query", "language", "ltime", "mqtt_field_value",
    "mqtt_is_valid", "ms_ltime", "ms_utime", "param", "protobuf", "reverse", "reverse_dom", "rfc7239_field", "rfc7239_is_valid",
    "rfc7239_n2nn", "rfc7239_n2np", "sdbm", "secure_memcmp", "sha1", "sha2", "srv_queue",
    "ub64dec", "ub64enc", "ungrpc", "unset-var", "us_ltime", "us_utime", "utime", "when", "wt6",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(FETCHES.is_sorted() && CONVERTERS.is_sorted());
    }
}
