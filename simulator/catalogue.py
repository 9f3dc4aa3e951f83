"""The products that can be simulated, by the name of their profile."""

from simulator import air_compressor, fridge
from simulator.product import Product

PRODUCTS: dict[str, Product] = {product.brand.profile: product for product in (fridge.PRODUCT, air_compressor.PRODUCT)}
