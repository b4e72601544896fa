"""What a certificate asks: of the file alone, of its tokens, of its answers. `strop.deploy.certify` asks it all."""
