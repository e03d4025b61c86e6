/** The colour maps there are to choose from, as matplotlib has them, in nine steps from low to high. */
export const COLORMAPS: Readonly<Record<string, readonly string[]>> = {
  viridis: ['#440154', '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962', '#addc30', '#fde725'],
  cividis: ['#00224e', '#1a386f', '#434e6c', '#61656f', '#7d7c78', '#9b9476', '#bcae6c', '#dec958', '#fee838'],
  magma: ['#000004', '#1d1147', '#51127c', '#832681', '#b73779', '#e75263', '#fc8961', '#fec488', '#fcfdbf'],
  inferno: ['#000004', '#210c4a', '#57106e', '#8a226a', '#bc3754', '#e45a31', '#f98e09', '#f9cb35', '#fcffa4'],
  plasma: ['#0d0887', '#4c02a1', '#7e03a8', '#aa2395', '#cc4778', '#e66c5c', '#f89540', '#fdc527', '#f0f921'],
  turbo: ['#30123b', '#466be3', '#28bceb', '#32f298', '#a4fc3c', '#eecf3a', '#fb7e21', '#d02f05', '#7a0403'],
  gray: ['#000000', '#202020', '#404040', '#606060', '#808080', '#a0a0a0', '#c0c0c0', '#e0e0e0', '#ffffff'],
  YlGn: ['#ffffe5', '#f7fcb9', '#d9f0a3', '#acdd8e', '#77c679', '#40aa5c', '#228343', '#006737', '#004529'],
  RdYlGn: ['#a50026', '#de402e', '#f98e52', '#fed481', '#feffbe', '#cbe982', '#84ca66', '#2aa054', '#006837'],
  YlGnBu: ['#ffffd9', '#edf8b1', '#c6e9b4', '#7ecdbb', '#40b5c4', '#1d90c0', '#225da8', '#243392', '#081d58'],
  Blues: ['#f7fbff', '#deebf7', '#c6dbef', '#9dcae1', '#6aaed6', '#4191c6', '#2070b4', '#08509b', '#08306b'],
  BrBG: ['#543005', '#995d13', '#cfa256', '#f1dfb3', '#f4f5f5', '#b4e2db', '#58b0a7', '#0c7169', '#003c30'],
  RdBu_r: ['#053061', '#2a71b2', '#6bacd1', '#c2ddec', '#f7f6f6', '#fbccb4', '#e48066', '#ba2832', '#67001f'],
  coolwarm: ['#3b4cc0', '#6282ea', '#8db0fe', '#b9d0f9', '#dddcdc', '#f5c4ac', '#f4987a', '#dd5f4b', '#b40426'],
  terrain: ['#333399', '#0888ee', '#01cc66', '#81e680', '#fefe98', '#beac76', '#815e56', '#c1b0ac', '#ffffff']
};

/** A colour map as CSS draws it from left to right; undefined for one that is not in the list. */
export function renderGradient(colormap: string): string | undefined {
  return Object.hasOwn(COLORMAPS, colormap)
    ? `linear-gradient(to right, ${COLORMAPS[colormap].join(', ')})`
    : undefined;
}
