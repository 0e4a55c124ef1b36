//! Countries: ISO 3166-1 codes, and what else certainly names one.

use std::fmt;
use std::str::FromStr;

use icu_locale::{LanguageIdentifier, subtags};
use serde::{Deserialize, Serialize};

use super::locale::canonical;
use crate::model::Invalid;
use crate::model::written::plain;

/// An ISO 3166-1 alpha-2 country code, such as `BR`.
///
/// Codes that certainly stand for a country become it: any case, alpha-3 and numeric codes, and codes
/// that ISO 3166-1 reserves or has withdrawn (`UK`, `FX`). Other pairs of letters stay as they are,
/// since older databases hold them; [`Country::is_known`] tells them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country(Box<str>);

/// ISO 3166-1, alpha-2 followed by alpha-3, and Kosovo by its code of user assignment.
const ISO: &str = "\
    ADAND AEARE AFAFG AGATG AIAIA ALALB AMARM AOAGO AQATA ARARG ASASM ATAUT AUAUS AWABW \
    AXALA AZAZE BABIH BBBRB BDBGD BEBEL BFBFA BGBGR BHBHR BIBDI BJBEN BLBLM BMBMU BNBRN \
    BOBOL BQBES BRBRA BSBHS BTBTN BVBVT BWBWA BYBLR BZBLZ CACAN CCCCK CDCOD CFCAF CGCOG \
    CHCHE CICIV CKCOK CLCHL CMCMR CNCHN COCOL CRCRI CUCUB CVCPV CWCUW CXCXR CYCYP CZCZE \
    DEDEU DJDJI DKDNK DMDMA DODOM DZDZA ECECU EEEST EGEGY EHESH ERERI ESESP ETETH FIFIN \
    FJFJI FKFLK FMFSM FOFRO FRFRA GAGAB GBGBR GDGRD GEGEO GFGUF GGGGY GHGHA GIGIB GLGRL \
    GMGMB GNGIN GPGLP GQGNQ GRGRC GSSGS GTGTM GUGUM GWGNB GYGUY HKHKG HMHMD HNHND HRHRV \
    HTHTI HUHUN IDIDN IEIRL ILISR IMIMN ININD IOIOT IQIRQ IRIRN ISISL ITITA JEJEY JMJAM \
    JOJOR JPJPN KEKEN KGKGZ KHKHM KIKIR KMCOM KNKNA KPPRK KRKOR KWKWT KYCYM KZKAZ LALAO \
    LBLBN LCLCA LILIE LKLKA LRLBR LSLSO LTLTU LULUX LVLVA LYLBY MAMAR MCMCO MDMDA MEMNE \
    MFMAF MGMDG MHMHL MKMKD MLMLI MMMMR MNMNG MOMAC MPMNP MQMTQ MRMRT MSMSR MTMLT MUMUS \
    MVMDV MWMWI MXMEX MYMYS MZMOZ NANAM NCNCL NENER NFNFK NGNGA NINIC NLNLD NONOR NPNPL \
    NRNRU NUNIU NZNZL OMOMN PAPAN PEPER PFPYF PGPNG PHPHL PKPAK PLPOL PMSPM PNPCN PRPRI \
    PSPSE PTPRT PWPLW PYPRY QAQAT REREU ROROU RSSRB RURUS RWRWA SASAU SBSLB SCSYC SDSDN \
    SESWE SGSGP SHSHN SISVN SJSJM SKSVK SLSLE SMSMR SNSEN SOSOM SRSUR SSSSD STSTP SVSLV \
    SXSXM SYSYR SZSWZ TCTCA TDTCD TFATF TGTGO THTHA TJTJK TKTKL TLTLS TMTKM TNTUN TOTON \
    TRTUR TTTTO TVTUV TWTWN TZTZA UAUKR UGUGA UMUMI USUSA UYURY UZUZB VAVAT VCVCT VEVEN \
    VGVGB VIVIR VNVNM VUVUT WFWLF WSWSM YEYEM YTMYT ZAZAF ZMZMB ZWZWE XKXKX";

/// Reserved and withdrawn codes that CLDR's aliases do not have, or leave open among several.
const RESERVED: [(&str, &str); 19] = [
    ("AC", "SH"),
    ("AN", "CW"),
    ("CP", "FR"),
    ("CS", "RS"),
    ("DG", "IO"),
    ("EA", "ES"),
    ("FX", "FR"),
    ("IC", "ES"),
    ("ROM", "RO"),
    ("SF", "FI"),
    ("SU", "RU"),
    ("TA", "SH"),
    ("TP", "TL"),
    ("UK", "GB"),
    ("YU", "RS"),
    ("ZR", "CD"),
    ("ENG", "GB"),
    ("SCO", "GB"),
    ("WLS", "GB"),
];

impl Country {
    /// The code itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a country's.
    pub fn is_known(&self) -> bool {
        ISO.split(' ').any(|pair| pair.starts_with(&*self.0))
    }

    /// Reads a cell; `None` where nothing is known by that code.
    pub fn recognized(text: &str) -> Option<Self> {
        let code = plain(text);
        // a spreadsheet takes the zeros off 076
        let digits = (1..=2).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
        let code = if digits { format!("{code:0>3}") } else { code };
        code.parse().ok().filter(Self::is_known)
    }
}

impl FromStr for Country {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        const WANTED: &str = "a country code of two letters, such as BR";
        let code = text.trim().to_ascii_uppercase();
        if let Some((_, country)) = RESERVED.iter().find(|(reserved, _)| *reserved == code) {
            return Ok(Self((*country).into()));
        }
        let letters = code.bytes().all(|b| b.is_ascii_uppercase());
        if code.len() == 3 && letters {
            let pair = ISO.split(' ').find(|pair| pair[2..] == *code);
            return pair
                .map(|pair| Self(pair[..2].into()))
                .ok_or_else(|| Invalid::new("country", text, WANTED));
        }
        let digits = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
        if !(digits || code.len() == 2 && letters) {
            return Err(Invalid::new("country", text, WANTED));
        }
        if code.len() == 2 && ISO.split(' ').any(|pair| pair.starts_with(&code)) {
            return Ok(Self(code.into()));
        }
        let region = code.parse::<subtags::Region>().ok();
        let named = region.and_then(|region| {
            let mut id = LanguageIdentifier { region: Some(region), ..LanguageIdentifier::UNKNOWN };
            canonical(&mut id);
            id.region.map(|region| region.to_string()).filter(|code| code.len() == 2)
        });
        match named {
            Some(named) => Ok(Self(named.into())),
            None if letters => Ok(Self(code.into())),
            None => Err(Invalid::new("country", text, WANTED)),
        }
    }
}

impl TryFrom<String> for Country {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Country> for String {
    fn from(country: Country) -> String {
        country.0.into()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_certainly_names_a_country_becomes_its_code() {
        for (given, code) in [
            ("br", "BR"),
            (" Br ", "BR"),
            ("UK", "GB"),
            ("uk", "GB"),
            ("FX", "FR"),
            ("BRA", "BR"),
            ("gbr", "GB"),
            ("076", "BR"),
            ("840", "US"),
            ("EL", "EL"),
            ("BU", "MM"),
            ("DD", "DE"),
            ("SU", "RU"),
            ("XK", "XK"),
            ("XX", "XX"),
            ("RE", "RE"),
        ] {
            assert_eq!(given.parse::<Country>().unwrap().as_str(), code, "{given}");
        }
        for (given, code) in [("\u{200b}BR", "BR"), ("ＢＲ", "BR"), ("76", "BR"), ("4", "AF")] {
            assert_eq!(Country::recognized(given).unwrap().as_str(), code, "{given}");
        }
        for unknown in ["XX", "ZZ", "EU", "QQ", "EL", "0", "1", "pt-BR", "US-CA", "DE/AT"] {
            assert_eq!(Country::recognized(unknown), None, "{unknown}");
        }
        for wrong in ["Brazil", "B", "", "B1", "QQQ", "999", "\u{e9}\u{e9}"] {
            assert_eq!(Country::recognized(wrong), None, "{wrong}");
        }
        assert_eq!(ISO.split(' ').count(), 250);
    }
}
