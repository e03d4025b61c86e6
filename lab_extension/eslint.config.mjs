import typescript from '@typescript-eslint/eslint-plugin';
import parser from '@typescript-eslint/parser';

const core = [{ group: ['@jupyterlab/*', '@lumino/*', 'react', 'react-dom', 'ol', 'ol/*'], message: 'The core knows none.' }];

export default [
  {
    files: ['src/**/*.{ts,tsx}', 'tests/**/*.ts'],
    languageOptions: { parser, parserOptions: { ecmaFeatures: { jsx: true } } },
    plugins: { '@typescript-eslint': typescript },
    rules: {
      ...typescript.configs.recommended.rules,
      curly: 'error',
      eqeqeq: 'error',
      'no-restricted-properties': ['error', { property: 'innerHTML', message: 'What others write is never markup.' }],
      'prefer-const': 'error'
    }
  },
  { files: ['src/core/**/*.ts'], rules: { 'no-restricted-imports': ['error', { patterns: core }] } }
];
