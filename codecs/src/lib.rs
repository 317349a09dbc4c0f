//! Telephone codecs and the sounds of telephony.
