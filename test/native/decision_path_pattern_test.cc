#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "native/decision/path_pattern.h"
#include "native/decision/pattern_trie.h"

namespace fileward {
namespace {

using namespace std::string_literals;

bool Matches(const std::string& glob, const std::string& path) {
  const auto parsed = PathPattern::ParseGlob(glob);
  if (!parsed.pattern) {
    ADD_FAILURE() << glob << ": " << parsed.error.message;
    return false;
  }
  PatternTrie trie;
  for (const auto& alternative : parsed.pattern->alternatives()) trie.Add(alternative, 7);
  trie.Finish();
  return trie.Match(path) == std::vector<uint32_t>{7};
}

struct Case {
  std::string glob;
  std::string path;
  bool matches;
};

TEST(PathPattern, GlobsMatchAsTheContractSays) {
  const std::vector<Case> cases = {
      {"/etc/passwd", "/etc/passwd", true},
      {"/etc/passwd", "/etc/passwd-", false},
      {"/etc/passwd", "/etc", false},
      {"/etc/*", "/etc/passwd", true},
      {"/etc/*", "/etc/.hidden", true},
      {"/etc/*", "/etc/ssh/config", false},
      {"/etc/*", "/etc", false},
      {"/etc/*.conf", "/etc/a.conf", true},
      {"/etc/*.conf", "/etc/.conf", true},
      {"/etc/*.conf", "/etc/a.conf.bak", false},
      {"/etc/*a*b*", "/etc/xaybz", true},
      {"/etc/*a*b*", "/etc/xbya", false},
      {"/etc/pass?d", "/etc/passwd", true},
      {"/etc/pass?d", "/etc/passd", false},
      {"/etc/?", "/etc/\xc3\xa9", true},
      {"/etc/?", "/etc/\xf0\x9f\x98\x80", true},
      {"/etc/??", "/etc/\xc3\xa9", false},
      {"/etc/?", "/etc/\xff", true},
      {"/etc/?", "/etc/\xc3", true},
      {"/etc/??", "/etc/\xc3\x28", true},
      {"/etc/*??", "/etc/\xe2\x82\xac", false},
      {"/etc/*", "/etc/a\nb", true},
      {"/etc/[-+]", "/etc/-", true},
      {"/etc/[-+]", "/etc/+", true},
      {"/etc/[-+]", "/etc/x", false},
      {"/etc/[a-c]x", "/etc/bx", true},
      {"/etc/[!a-c]x", "/etc/bx", false},
      {"/etc/[!a-c]x", "/etc/dx", true},
      {"/etc/[^a]", "/etc/b", true},
      {"/etc/[]a]", "/etc/]", true},
      {"/etc/[\xc3\xa0-\xc3\xbc]", "/etc/\xc3\xa9", true},
      {"/etc/[\xc3\xa0-\xc3\xbc]", "/etc/e", false},
      {"/etc/\\*", "/etc/*", true},
      {"/etc/\\*", "/etc/a", false},
      {"/etc/\\{a\\}", "/etc/{a}", true},
      {"/etc\\/a", "/etc/a", true},
      {"/etc/[\\]**]x", "/etc/*x", true},
      {"/etc/[b-\\d]", "/etc/c", true},
      {"/etc/{shadow,gshadow}", "/etc/gshadow", true},
      {"/etc/{shadow,gshadow}", "/etc/shadow", true},
      {"/etc/{shadow,gshadow}", "/etc/passwd", false},
      {"/etc/{shadow,gshadow}[-+]", "/etc/gshadow-", true},
      {"/etc/{a,b{c,d}}e", "/etc/bde", true},
      {"/etc/{a,b{c,d}}e", "/etc/be", false},
      {"/etc/x{,y}", "/etc/x", true},
      {"/{usr/bin,sbin}/ls", "/usr/bin/ls", true},
      {"/{usr/bin,sbin}/ls", "/sbin/ls", true},
      {"/{usr/bin,sbin}/ls", "/usr/sbin/ls", false},
      {"/etc/{*,b}.d/[,]", "/etc/x.d/,", true},
      {"/a/**", "/a/b", true},
      {"/a/**", "/a/b/c/d", true},
      {"/a/**", "/a/.b/.c", true},
      {"/a/**", "/a", false},
      {"/a/**", "/ab", false},
      {"/a/**/b", "/a/b", true},
      {"/a/**/b", "/a/x/b", true},
      {"/a/**/b", "/a/x/y/b", true},
      {"/a/**/b", "/a/x/b/c", false},
      {"/a/**/b", "/ab", false},
      {"/a/**/b/**", "/a/b/c", true},
      {"/a/**/b/**", "/a/x/b/y/b", true},
      {"/a/**/b/**", "/a/x/b", false},
      {"/a/**/**/b", "/a/b", true},
      {"/a/**.conf", "/a/x.conf", true},
      {"/a/**.conf", "/a/x/y/z.conf", true},
      {"/a/**.conf", "/a/x/y", false},
      {"/a/x**", "/a/xy", true},
      {"/a/x**", "/a/xy/z", true},
      {"/a/x**", "/a/y/x", false},
      {"/a/x**/k", "/a/xy/z/k", true},
      {"/**", "/a", true},
      {"/**/.git/**", "/home/u/.git/config", true},
      {"/home/*/.ssh/**", "/home/u/.ssh/id", true},
      {"/home/*/.ssh/**", "/home/u/v/.ssh/id", false},
      {"/with space/\xf0\x9f\x98\x80", "/with space/\xf0\x9f\x98\x80", true},
  };
  for (const Case& c : cases)
    EXPECT_EQ(Matches(c.glob, c.path), c.matches) << c.glob << " " << c.path;
}

TEST(PathPattern, LongRunsOfStarsStayLinear) {
  std::string glob = "/";
  for (int i = 0; i < 60; ++i) glob += "*a";
  EXPECT_FALSE(Matches(glob, "/" + std::string(250, 'a') + "b"));
}

struct BadCase {
  std::string glob;
  size_t offset;
  std::string part;
};

TEST(PathPattern, SaysWhatIsWrongAndWhere) {
  const std::vector<BadCase> cases = {
      {"", 0, "empty"},
      {"etc/passwd", 0, "absolute"},
      {"{/a,b}/c", 4, "absolute"},
      {"/etc/[abc", 5, "'[' is not closed"},
      {"/etc/[ab/c]", 5, "before the next '/'"},
      {"/etc/[[:alpha:]]", 6, "named classes"},
      {"/etc/[z-a]", 6, "upside down"},
      {"/etc/{a,b", 5, "'{' is not closed"},
      {"/etc/{a,{b}", 5, "'{' is not closed"},
      {"/etc/a}", 6, "without a '{'"},
      {"/etc//x", 5, "two slashes"},
      {"/etc/./x", 5, "'.' is not followed"},
      {"/etc/../x", 5, "'..' is not followed"},
      {"/etc/\\../x", 5, "is not followed"},
      {"/etc/[\\/]", 5, "before the next '/'"},
      {"/etc/", 4, "trailing '/'"},
      {"/", 0, "'/' alone"},
      {"/etc/a\\", 6, "nothing to escape"},
      {"/a\0b"s, 2, "NUL"},
      {"/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", 55, "more than 1024"},
  };
  for (const BadCase& c : cases) {
    const auto parsed = PathPattern::ParseGlob(c.glob);
    EXPECT_FALSE(parsed.pattern.has_value()) << c.glob;
    EXPECT_NE(parsed.error.message.find(c.part), std::string::npos)
        << c.glob << ": " << parsed.error.message;
    EXPECT_EQ(parsed.error.offset, c.offset) << c.glob;
  }
}

TEST(PathPattern, RegexErrorsSayWhere) {
  const auto unclosed = PathPattern::ParseRegex("/home/[a-z");
  EXPECT_FALSE(unclosed.pattern.has_value());
  EXPECT_EQ(unclosed.error.offset, 6U);
  EXPECT_NE(unclosed.error.message.find("missing ]"), std::string::npos) << unclosed.error.message;
  EXPECT_FALSE(PathPattern::ParseRegex("home/.*").pattern.has_value());
  EXPECT_FALSE(PathPattern::ParseRegex("").pattern.has_value());
  EXPECT_FALSE(PathPattern::ParseRegex("/a\0b"s).pattern.has_value());
  EXPECT_FALSE(PathPattern::ParseRegex("/(?=x)").pattern.has_value());
}

TEST(PathPattern, KnowsItsLiteralPart) {
  const auto base = [](const std::string& glob) {
    return PathPattern::ParseGlob(glob).pattern->LiteralBase();
  };
  EXPECT_EQ(base("/etc/passwd"), "/etc/passwd");
  EXPECT_EQ(base("/etc/*.conf"), "/etc");
  EXPECT_EQ(base("/etc/\\*x/a*"), "/etc/*x");
  EXPECT_EQ(base("/**"), "/");
  EXPECT_EQ(base("/usr/{bin,sbin}/**"), "/usr");
  EXPECT_EQ(base("/usr/{lib/a,lib/b}/x"), "/usr/lib");
  EXPECT_TRUE(PathPattern::ParseGlob("/etc/{a,b}").pattern->IsLiteral());
  EXPECT_FALSE(PathPattern::ParseGlob("/etc/{a,b*}").pattern->IsLiteral());
  EXPECT_EQ(PathPattern::ParseRegex("/home/[^/]+/\\.ssh/.*").pattern->LiteralBase(), "/home");
  EXPECT_EQ(PathPattern::ParseRegex("^/etc/a\\.d/x").pattern->LiteralBase(), "/etc/a.d/x");
  EXPECT_EQ(PathPattern::ParseRegex("/etc/a|/etc/b").pattern->LiteralBase(), "/");
  EXPECT_EQ(PathPattern::ParseRegex("(?i)/etc/a").pattern->LiteralBase(), "/");
}

TEST(PathPattern, KnowsWhereItCouldMatch) {
  const auto below = [](const std::string& glob, const std::string& directory) {
    return PathPattern::ParseGlob(glob).pattern->CouldMatchBelow(directory);
  };
  EXPECT_TRUE(below("/etc/ssh/*", "/"));
  EXPECT_TRUE(below("/etc/ssh/*", "/etc"));
  EXPECT_TRUE(below("/etc/ssh/*", "/etc/ssh"));
  EXPECT_FALSE(below("/etc/ssh/*", "/etc/ssh/x"));
  EXPECT_FALSE(below("/etc/ssh/*", "/usr"));
  EXPECT_TRUE(below("/home/*/.ssh/**", "/home/u"));
  EXPECT_TRUE(below("/home/*/.ssh/**", "/home/u/.ssh/deep/er"));
  EXPECT_FALSE(below("/home/*/.ssh/**", "/home/u/other"));
  EXPECT_TRUE(below("/a/**/b", "/a/anything/at/all"));
  EXPECT_FALSE(below("/etc/passwd", "/etc/passwd"));
  const auto regex = [](const std::string& text, const std::string& directory) {
    return PathPattern::ParseRegex(text).pattern->CouldMatchBelow(directory);
  };
  EXPECT_TRUE(regex("/home/[^/]+/\\.ssh/.*", "/home/u/.ssh"));
  EXPECT_FALSE(regex("/home/[^/]+/\\.ssh/.*", "/home/u/Mail"));
  EXPECT_FALSE(regex("/home/[^/]+/\\.ssh/.*", "/etc"));
  EXPECT_TRUE(regex("/etc/a(/b)?/c", "/etc/anything"));
  EXPECT_TRUE(regex("/etc/a/?x", "/etc/anything"));
  EXPECT_TRUE(regex(".*\\.pem", "/anywhere/at/all"));
}

// Whatever a regex matches must lie where its shape says it could.
TEST(PathPattern, RegexShapesCoverWhatTheRegexMatches) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/a/[^/]+/c", "/a/x/c"},       {"/a/\\w+/c", "/a/x1/c"},
      {"/a/.+/c", "/a/x/y/c"},        {"/a/[^x]+/c", "/a/q/w/c"},
      {"/a(/b)*/c", "/a/b/b/c"},      {"/a/(b|c/d)/e", "/a/c/d/e"},
      {"/a/\\S+", "/a/x/y"},          {"/a/[!-0]+/z", "/a/-/-/z"},
      {"/a/x\\/y", "/a/x/y"},         {"/a/b|/c/d", "/c/d"},
      {"/a/(?i)bc/d", "/a/BC/D"},     {"/a/\\Qb/c\\E/d", "/a/b/c/d"},
      {"/a/b{1,2}/c", "/a/bb/c"},     {"/a/(?:x|y)z/c", "/a/yz/c"},
      {"/a/(?P<n>x)/c", "/a/x/c"},    {"/a/\\x2f?b", "/a/b"},
      {"/a/[[:punct:]]+x", "/a/-/x"}, {"(/a|/b)/c", "/b/c"},
      {"/a/b?/?c", "/a/bc"},          {"^/a/b$", "/a/b"},
      {"/a/[[:b]/c", "/a/:/c"},       {"/a/[[:]/[b]/c", "/a/[/b/c"},
  };
  for (const auto& [regex, path] : cases) {
    const auto parsed = PathPattern::ParseRegex(regex);
    ASSERT_TRUE(parsed.pattern.has_value()) << regex << ": " << parsed.error.message;
    PatternTrie trie;
    trie.Add(parsed.pattern->alternatives().front(), 1);
    trie.Finish();
    EXPECT_EQ(trie.Match(path).size(), 1U) << regex << " " << path;
  }
}

TEST(PathPattern, FollowsWhereItsLiteralPartLeads) {
  auto pattern = *PathPattern::ParseGlob("/var/run/{a,b/*}").pattern;
  pattern.AddResolvedBases([](const std::string& path) {
    return path.starts_with("/var/run/") ? "/run" + path.substr(8) : path;
  });
  PatternTrie trie;
  for (const auto& alternative : pattern.alternatives()) trie.Add(alternative, 1);
  trie.Finish();
  for (const char* path : {"/var/run/a", "/run/a", "/var/run/b/x", "/run/b/x"}) {
    EXPECT_EQ(trie.Match(path).size(), 1U) << path;
  }
  EXPECT_TRUE(trie.Match("/run/c").empty());
  ASSERT_EQ(pattern.alternatives().size(), 4U);
  EXPECT_EQ(pattern.alternatives()[2].written_base, "/var/run/a");
  EXPECT_EQ(pattern.alternatives()[2].base, "/run/a");
  EXPECT_EQ(pattern.alternatives()[2].Directory(), "/run");
  EXPECT_EQ(pattern.LiteralBase(), "/var/run");
}

}  // namespace
}  // namespace fileward
