"""The suite; its folders mirror ``govpay``."""
