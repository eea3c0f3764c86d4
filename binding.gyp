{
  'variables': {
    # node-gyp configure -- -Dfileward_tests=1 -Dsanitize=address|undefined|thread
    'fileward_tests%': 0,
    'sanitize%': '',
  },

  'target_defaults': {
    'cflags_cc': [
      '-std=c++20',
      '-fPIC',
      '-fexceptions',
      '-frtti',
      '-fstack-protector-strong',
      '-Wall',
      '-Wextra',
      '-Wshadow',
      '-Wconversion',
      '-Werror',
      # System headers: their warnings are not ours.
      '-isystem', '<!(node -p "path.resolve(require(\'node-addon-api\').include_dir)")',
      '<!@(pkg-config --cflags-only-I re2)',
    ],
    'cflags!': ['-Wno-unused-parameter', '-fno-omit-frame-pointer'],
    'cflags': ['-fno-omit-frame-pointer', '-pthread'],
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
    'ldflags': ['-pthread', '-Wl,-z,relro,-z,now'],
    'include_dirs': ['.', 'native'],
    'conditions': [
      ['sanitize==""', {
        'configurations': {
          'Release': {
            'cflags!': ['-O3'],
            'cflags': ['-O2', '-g'],
            'defines': ['_FORTIFY_SOURCE=2'],
          },
        },
      }, {
        'configurations': {
          'Release': {
            'cflags!': ['-O3'],
            # With a sanitizer's own branches in it, GCC takes a moved-out optional for uninitialized.
            'cflags': ['-O1', '-g', '-fsanitize=<(sanitize)', '-fno-sanitize-recover=all',
                       '-Wno-error=maybe-uninitialized'],
          },
        },
        'ldflags': ['-fsanitize=<(sanitize)'],
      }],
    ],
  },

  'targets': [
    {
      # Everything but the addon and the programs: no napi.h, so that the native tests link it too.
      'target_name': 'fileward_core',
      'type': 'static_library',
      'sources': ['<!@(find native/ -name "*.cc" -not -path "native/addon/*" -not -name main.cc | LC_ALL=C sort)'],
    },
    {
      'target_name': 'fileward_guardian',
      'type': 'executable',
      'dependencies': ['fileward_core'],
      'sources': ['native/guardian/main.cc'],
    },
    {
      'target_name': 'fileward',
      'type': 'loadable_module',
      'dependencies': ['fileward_core'],
      'sources': ['<!@(find native/addon -name "*.cc" | LC_ALL=C sort)'],
      'defines': ['NAPI_VERSION=9', 'NAPI_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
      'libraries': ['<!@(pkg-config --libs re2)'],
    },
  ],

  'conditions': [
    ['fileward_tests==1', {
      'targets': [
        {
          'target_name': 'native_tests',
          'type': 'executable',
          'dependencies': ['fileward_core'],
          'sources': ['<!@(find test/native/ -name "*.cc" | LC_ALL=C sort)'],
          'cflags_cc': ['<!@(pkg-config --cflags gtest_main)'],
          'libraries': ['<!@(pkg-config --libs gtest_main re2)'],
        },
      ],
    }],
  ],
}
